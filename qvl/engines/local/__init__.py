"""The local engine: transformers in this process, with continuous batching.

A request comes from the top of this list and ends at its foot; each file imports only those below it.

serve.py        what `qvl serve` runs
app.py          the HTTP server: who may use which route
chat.py         OpenAI's chat completions, whole and streamed
control.py      token ids in and out, new weights, pauses
service.py      what both share: limits, media, waiting for rows
api.py          OpenAI's request parsed; the response's shapes
engine.py       the thread that admits rows, steps the batch and returns them
batch.py        rows that decode together, joining and leaving between steps
cache.py        their keys and values
decode.py       one more token for every row, without transformers' own forward
sampling.py     logits -> tokens, each row by its own parameters and seed
grammar.py      structured output: JSON schemas and regular expressions
detokenizer.py  tokens -> text, and where a stop string ends it
checkpoint.py   a folder -> model, tokenizer, rules of media; messages -> prompt
media.py        the images and videos of a request -> patches
client.py       the client of this engine for training jobs: qvl.engines.client
"""
