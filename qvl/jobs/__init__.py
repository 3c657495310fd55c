"""Training jobs, each a loop that reads top to bottom."""
