"""Safe rollouts: publish, load, warm, canary, compare, promote or roll back."""
