"""Rewards put to the test: shipped cases, and hostile answers."""
