"""Exit codes of the commands that run a pipeline, beside 0, 1 and a user's 2."""

REJECTED_EXIT_CODE = 3
INTERRUPTED_EXIT_CODE = 130
