"""Plots of training logs: `qvl plot`.

logs     the figures of a run by step, from its log.jsonl
braille  curves as text: eight dots per character
terminal, figure  the charts of several runs, in a terminal and as PNG or SVG
"""
