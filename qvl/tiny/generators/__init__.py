"""The generators of the twin's tasks: random examples with their answers and images."""
