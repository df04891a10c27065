"""Learns modes and categories and turns the rows of tables into codes and values."""
