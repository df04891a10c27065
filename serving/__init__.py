"""What answers requests with a pushed model, and what asks it."""
