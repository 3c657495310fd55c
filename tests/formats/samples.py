"""A row of the documentation of each format, and how tests convert rows."""

from qvl import formats
from qvl.formats.context import Context

SAMPLES = {
    "openai": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "x.png", "detail": "low"}},
                ],
            },
            {"role": "assistant", "content": "A cat."},
        ]
    },
    "ms-swift": {
        "messages": [
            {"role": "user", "content": "<image>What is it?"},
            {"role": "assistant", "content": "A cat.", "loss": True},
        ],
        "images": ["x.png"],
        "rejected_response": "A dog.",
        "objects": {"ref": ["cat"], "bbox": [[1, 2, 3, 4]]},
        "channel": "pets",
    },
    "llama-factory": {
        "conversations": [
            {"from": "human", "value": "<image>What is it?"},
            {"from": "gpt", "value": "A cat."},
        ],
        "system": "",
        "tools": "",
        "images": ["x.png"],
    },
    "llava": {
        "id": "000",
        "image": "x.png",
        "conversations": [
            {"from": "human", "value": "<image>\nWhat is it?"},
            {"from": "gpt", "value": "A cat."},
        ],
    },
    "trl": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}],
            },
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
        ],
        "images": ["x.png"],
    },
    "trl-prompt": {"prompt": "What is it?", "completion": "A cat."},
    "verl": {
        "data_source": "hiyouga/geometry3k",
        "prompt": [{"role": "user", "content": "<image>What is it?"}],
        "images": [{"bytes": b"\x89PNG data", "path": None}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "A cat."},
        "extra_info": {"split": "train", "index": 7, "answer": "A cat.", "question": "What?"},
    },
    "hf-parquet": {
        "image": {"bytes": b"\x89PNG data", "path": "x.png"},
        "question": "What is it?",
        "answer": "A cat.",
    },
}


def read(name, row, **options):
    context = Context("a record", place=lambda: ("folder/set.train.json", 3), **options)
    context.start(row)
    return formats.get(name).to_record(row, context)


def write(name, record, **options):
    context = Context(name, **options)
    context.start(record)
    return formats.get(name).to_row(record, context)
