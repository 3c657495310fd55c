"""Read an answer out of a response: its final line or block, emphasis, candidates, numerals, boxes, documents."""
