"""Render, tokenise and pack records for training. No torch: `qvl pack` starts at once."""
