"""Pipelines made of the steps, their configuration, and the command line that runs them."""
