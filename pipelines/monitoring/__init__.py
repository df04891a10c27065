"""The monitoring pipeline: reads the serving log, judges, tells people, has models retrained."""
