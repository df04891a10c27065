"""Runs an exported model under older TensorFlow versions and compares the answers."""
