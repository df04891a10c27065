"""People approve or reject what waits for them: keys, signed records, the audit log."""
