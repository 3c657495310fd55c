"""Verifiers, a file each; what a module may export is written in qvl.reward."""
