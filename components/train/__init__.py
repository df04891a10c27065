"""Trains a generative model and exports it for serving."""
