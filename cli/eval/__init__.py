"""Evaluate a model: read a copy of a benchmark, answer, extract, score, compare."""
