"""What a training job will need, from shapes alone: memory and floating-point operations."""
