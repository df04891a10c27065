"""An HTTP gateway in front of any TensorFlow Serving address; it imports no TensorFlow."""
