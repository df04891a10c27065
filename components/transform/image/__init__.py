"""Turns encoded images into arrays of one size, by a graph that the served model takes along."""
