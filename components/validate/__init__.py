"""Checks examples against an expectation suite."""
