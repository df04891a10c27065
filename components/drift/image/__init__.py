"""Compares eras of images, and generated images with real ones."""
