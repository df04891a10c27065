"""Publishes an approved model for serving."""
