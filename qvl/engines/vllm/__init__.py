"""vLLM: its pinned environments and how its server is started. vllm itself is never imported here."""
