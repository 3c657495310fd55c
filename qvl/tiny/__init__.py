"""The CPU twin: tiny Qwen3-VL checkpoints, and tasks that they can learn in minutes."""
