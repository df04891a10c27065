"""Judges an exported model beside honest yardsticks."""
