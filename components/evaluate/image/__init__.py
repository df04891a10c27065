"""Judges a model of images on held-out images, beside a floor and a naive baseline."""
