"""Read the answer from a response: its final line or block, emphasis, numbers, boxes, documents."""
