"""Model-written programs: which block is the program, how tests run it, and when its results are equal."""
