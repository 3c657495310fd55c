"""Make the CPU twin: tiny Qwen3-VL checkpoints and the tasks that they can learn."""
