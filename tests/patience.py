"""How long a test waits for what ends at once: a busy machine takes less, a fault that hangs takes more."""

PATIENCE = 60  # seconds
