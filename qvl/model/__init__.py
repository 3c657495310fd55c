"""Qwen3-VL in pure torch, without Megatron: shapes, vision tower, rope, and the map of weights."""
