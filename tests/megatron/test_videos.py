"""Videos in training: the same tokens, places and log-probabilities as transformers, frames by pairs."""

import shutil

import numpy as np
import pytest
import torch
import videos
from PIL import Image
from shells import shell

from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.media import RequestMedia
from qvl.engines.local.passes import prompts
from qvl.io import jsonl
from qvl.media import loader
from qvl.model.batch import make_batch
from qvl.model.shape import load_shape
from qvl.pack import packed
from qvl.pack.render import Renderer
from qvl.parity.megatron import Megatron
from qvl.stage import Drop

SECONDS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory, twin):
    """A file, a folder of frames, and an image."""
    made = tmp_path_factory.mktemp("videos")
    (made / "twin").symlink_to(twin)
    videos.write(made / "a.mp4", 10 * SECONDS)  # at 10 a second
    (made / "frames").mkdir()
    for i in range(5):  # an odd number: the last one stands twice
        Image.fromarray(videos.frame(i, 96, 64, seed=i)).save(made / "frames" / f"{i}.png")
    Image.fromarray(videos.frame(0, 64, 64, seed=9)).save(made / "still.png")
    return made


def record(*parts, name="a"):
    turns = [{"role": "user", "content": [*parts, {"type": "text", "text": "What happens?"}]}]
    turns.append({"role": "assistant", "content": "A square moves."})
    return {"id": name, "messages": turns}


FILE, STILL = {"type": "video", "video": "a.mp4"}, {"type": "image", "image": "still.png"}
FRAMES = {"type": "video", "video": "frames"}
LISTED = {"type": "video", "video": [f"frames/{i}.png" for i in range(4)]}
CASES = {
    "file": [FILE],
    "folder": [FRAMES],
    "list": [LISTED],
    "mixed": [STILL, FILE, STILL, FRAMES],
}


@pytest.mark.parametrize("case", CASES)
def test_tokens_places_and_log_probs_are_those_of_transformers(folder, case):
    given = record(*CASES[case])
    sample = Renderer(folder / "twin", media_root=folder).all_targets(given)
    assert not isinstance(sample, Drop), sample
    checkpoint = Checkpoint(folder / "twin")
    prompt = checkpoint.prepare_chat(
        given["messages"],
        None,
        RequestMedia(checkpoint.image_rules, checkpoint.video_rules, folder, 1 << 20),
    )
    # The engine's prompt asks for one more turn after the last.
    ids = prompt.ids[: len(sample.ids)]
    assert list(sample.ids) == ids

    shape = load_shape(folder / "twin")
    line = packed.join("a", [sample])
    load = loader.loader(folder / "twin", folder)
    batch = make_batch(line, shape, load(line).__getitem__)
    assert (batch.positions == prompt.positions[:, : len(ids)]).all()

    inputs = prompts.padded([prompt], checkpoint.device, left=True)
    with torch.no_grad():
        inputs |= {"input_ids": torch.tensor([ids]), "position_ids": batch.positions[:, None]}
        logits = checkpoint.model(**inputs).logits[0, :-1]
    theirs = logits.log_softmax(-1).gather(1, torch.tensor(ids)[1:, None])[:, 0]
    ours = Megatron(model=str(folder / "twin"), layout="", media_root=str(folder))
    (spoken,) = ours([sample])
    assert np.abs(np.array(spoken) - theirs.numpy()).max() < 1e-5


def test_frames_are_learnt_from_and_never_learnt(folder):
    sample = Renderer(folder / "twin", media_root=folder)(record(FILE, STILL))
    assert not isinstance(sample, Drop)
    pads = Renderer(folder / "twin", media_root=folder).pads
    learnt = [sample.ids[place] for start, end, _ in sample.spans for place in range(start, end)]
    assert learnt and pads.isdisjoint(learnt)
    assert len(sample.images) == len(sample.grids) == SECONDS * 2 // 2 + 1


def test_a_run_on_videos_learns_and_says_which_are_missing(folder, tmp_path):
    for name in ("a.mp4", "still.png"):
        shutil.copy(folder / name, tmp_path)
    jsonl.write([record(FILE, name=f"r{i}") for i in range(4)], str(tmp_path / "in.zst"))
    run = shell(tmp_path)
    model = (folder / "twin").resolve()
    done = run(f"qvl pack --model {model} in.zst -o packed.zst", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    done = run(
        f"qvl sft --model {model} -o out --steps 12 --batch 1 --lr 3e-3 --log-every 1 packed.zst",
        OMP_NUM_THREADS="2",
    )
    assert done.returncode == 0, done.stderr
    rows = jsonl.read(str(tmp_path / "out/log.jsonl"))
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0] - 1
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    done = run(f"qvl pack --model {model} in.zst -o again.zst")
    assert done.returncode == 0 and "0 kept, 4 rejected (media 4)" in done.stderr
    (tmp_path / "a.mp4").unlink()
    done = run(f"qvl pack --model {model} in.zst -o gone.zst")
    assert done.returncode == 2 and "a.mp4" in done.stderr and done.stderr.count("\n") == 1
