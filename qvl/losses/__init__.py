"""Losses as pure functions of tensors, each with its paper and a naive twin in tests."""
