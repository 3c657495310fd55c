"""Engines that answer behind an OpenAI-compatible endpoint; `local` runs in this process."""
