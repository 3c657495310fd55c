"""What `qvl import` and `qvl export` hold in memory, for a model and for one four times as deep.

Run by `make bench`. Prints figures; never fails by them.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from served import BIN

from qvl.model import merge, weight_map
from qvl.model.shape import load_shape

HIDDEN, FFN, LAYERS_A_FILE = 2048, 8192, 2


def write(folder, twin, layers):
    """A folder of random bits in the twin's kind, about 0.13 GB a layer, two layers a file."""
    folder.mkdir()
    for path in twin.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_bytes())
    config["text_config"] |= {"num_hidden_layers": layers, "hidden_size": HIDDEN}
    config["text_config"] |= {"intermediate_size": FFN, "num_attention_heads": 16}
    config["text_config"] |= {"num_key_value_heads": 8, "head_dim": 128}
    config["vision_config"]["out_hidden_size"] = HIDDEN
    (folder / "config.json").write_text(json.dumps(config))
    shape = load_shape(folder)
    files: dict[str, dict[str, torch.Tensor]] = {}
    for name, dims in merge.parameters(shape):
        match = weight_map.LAYER.fullmatch(name)
        file = f"model-{int(match[1]) // LAYERS_A_FILE if match else 'rest'}.safetensors"
        whole = torch.randint(-99, 99, dims, dtype=torch.int16).view(torch.bfloat16)
        found = weight_map.source(name, shape)
        for each, tensor in zip(found.names, weight_map.split(found, whole, shape), strict=True):
            files.setdefault(file, {})[each] = tensor.contiguous()
    for file, tensors in files.items():
        save_file(tensors, folder / file, metadata={"format": "pt"})
    index = {name: file for file, tensors in files.items() for name in tensors}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def measured(folder, *words):
    """Seconds, and the peak of what the process had in memory of its own, in GB."""
    started = time.perf_counter()
    process = subprocess.Popen([BIN / "qvl", *words], cwd=folder, stderr=subprocess.PIPE)
    peak = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text()
            (own,) = (line for line in lines.splitlines() if line.startswith("RssAnon"))
            peak = max(peak, int(own.split()[1]))
        except (OSError, ValueError):  # it has just ended
            continue
        time.sleep(0.01)
    assert process.returncode == 0, process.stderr and process.stderr.read()
    return time.perf_counter() - started, peak / 1e6


def test_memory_does_not_grow_with_the_model(tmp_path, twin):
    for layers in (4, 16):
        size = write(tmp_path / "model", twin, layers) / 1e9
        for words in (("import", "model", "checkpoint"), ("export", "checkpoint", "back")):
            seconds, peak = measured(tmp_path, *words)
            print(
                f"qvl {words[0]}: {layers} layers, {size:.2f} GB in files of {LAYERS_A_FILE} layers: "
                f"{seconds:.1f} s, at most {peak:.2f} GB in memory"
            )
        same = subprocess.run(["diff", "-r", "model", "back"], cwd=tmp_path).returncode
        assert same == 0
        for name in ("model", "checkpoint", "back"):
            shutil.rmtree(tmp_path / name)
