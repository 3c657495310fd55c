"""SGLang: its pinned environments and how its server is started; sglang is never imported by qvl."""
