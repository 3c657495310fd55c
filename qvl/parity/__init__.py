"""The same records through two implementations: do they give every token the same probability?

A side is something that gives the log-probability of each token of a record but the first, given
those before it: transformers (`huggingface`) or Megatron at a layout (`megatron`).
"""
