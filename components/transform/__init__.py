"""Learns a vocabulary and turns examples into tokens."""
