"""Decides by a policy whether a model may be pushed."""
