"""What a training job needs, estimated from shapes alone: memory and floating-point operations."""
