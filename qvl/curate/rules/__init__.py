"""Rules that decide whether a query or a response is worth learning from, and judges of the same."""
