"""Agents that think with images: they call tools, read what comes back, and answer (report 4.5)."""
