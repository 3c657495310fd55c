"""Scores of responses, by rules, judges and reward models; thresholds on them."""
