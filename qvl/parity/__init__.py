"""Compare the log-probabilities that two implementations give to the tokens of the same records.

A side gives the log-probability of each token of a record but the first: transformers
(`huggingface`), Megatron at a layout (`megatron`) or a running engine (`engine`).
"""
