"""The CPU twin: tiny Qwen3-VL checkpoints, and tasks that they learn within minutes on a CPU."""
