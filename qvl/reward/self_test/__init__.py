"""Self-test of verifiers: shipped cases and hostile answers."""
