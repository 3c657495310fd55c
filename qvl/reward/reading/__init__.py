"""Reading an answer out of a response: boxes, numerals, tables, candidates; matching it with a reference."""
