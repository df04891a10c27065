"""Reads images with their classes and writes them as examples."""
