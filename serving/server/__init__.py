"""The embedded model server: TensorFlow Serving's protocol for laptops, CI and tests.

Production manifests run the real TensorFlow Serving image; this server keeps its flags, its
version handling and its error texts, so that one can stand in for the other.
"""
