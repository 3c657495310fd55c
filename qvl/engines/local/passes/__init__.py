"""Forward passes of the model: prompts side by side, a step of decoding, and its cache."""
