"""Compares eras of data, requests, generated data, and the training data of versions."""
