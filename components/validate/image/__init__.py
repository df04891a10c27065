"""Expectations about images that Great Expectations itself has not."""
