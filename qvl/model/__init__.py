"""Qwen3-VL in pure torch: shapes, vision tower, rope, names of weights. Nothing of Megatron."""
