"""The steps of a pipeline: one folder each, with a thin KFP interface over plain logic."""
