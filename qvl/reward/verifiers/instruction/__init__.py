"""Instruction following (IFEval): strict and loose, and the constraints that a prompt may name."""
