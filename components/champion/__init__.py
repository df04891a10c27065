"""Finds the published version that a new model has to beat, for a run on a cluster."""
