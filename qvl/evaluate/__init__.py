"""Ask an endpoint held-out questions, extract the answers, score them, and say how sure that is."""
