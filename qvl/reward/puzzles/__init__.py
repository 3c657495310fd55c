"""Puzzles whose answers are checked by their rules."""
