"""The post-training recipe of Qwen3-VL as a family of small, composable Unix tools."""

__version__ = "0.1.0"
