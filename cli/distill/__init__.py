"""Strong-to-weak distillation: store a teacher's log-probs, and learn from them on-policy."""
