"""A teacher's log-probs of given tokens: from engines, as a stored stream, and back as arrays."""
