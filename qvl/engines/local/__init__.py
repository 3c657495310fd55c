"""The local engine: transformers in one process, requests batched as they come.

checkpoint.py  a folder -> model, tokenizer, image processor; messages -> prompt
api.py         OpenAI's request body -> what to generate; results -> OpenAI's answer
batch.py       rows that decode together, joining and leaving between steps
decode.py      one token more for every row, past transformers' own forward
sampling.py    logits -> tokens, each row by its own parameters and seed
grammar.py     answers of a given form: JSON schemas, regular expressions
text.py        tokens -> text, piece by piece, and where it stops
engine.py      the thread that admits, steps and hands over
http.py        the routes
"""
