"""Records that say the same: within a set, and as an evaluation set."""
