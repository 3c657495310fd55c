"""Training jobs, each one loop that reads top to bottom."""
