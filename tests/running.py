"""Real vLLM and SGLang servers of tiny checkpoints, and transformers on the same prompts."""

import base64
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import videos
from PIL import Image

from qvl.client import chat
from qvl.media import video, video_patches

BIN = Path(sys.executable).parent
KEY = "k-secret"
TOLERANCE = 1e-4  # of log-probs in fp32


class Running:
    """A `qvl serve --backend ...`, its log in a file."""

    def __init__(self, log: Path, *words: object, wait: bool = True, **env: str) -> None:
        self.log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [BIN / "qvl", "serve", *map(str, words)],
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, "QVL_API_KEY": KEY, **env},
            )
        if wait:
            assert self.process.stdout
            line = self.process.stdout.readline()
            assert line, log.read_text()[-3000:]
            self.facts: dict[str, Any] = json.loads(line)
            self.url: str = self.facts["endpoint"]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def children(self) -> list[int]:
        """Every process of the engine, by a variable of its environment."""
        mark = f"QVL_ENGINE_PARENT={self.process.pid}".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
            except OSError:  # it has ended
                continue
        return found

    def last_line(self) -> str:
        """The last line of its log."""
        return self.log.read_text().splitlines()[-1]

    def post(self, path: str, body: dict, key: str | None = KEY, host: str = "") -> Any:
        """The JSON of the response; the status if it is an error."""
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        url = f"http://{host}:{self.url.rpartition(':')[2]}" if host else self.url
        request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code


def check_structured_output(server: Running, folder: Path) -> None:
    """`qvl generate` gets completions that keep to a schema or a regular expression."""
    schema = '{"type":"object","properties":{"ok":{"type":"boolean"}},"required":["ok"]}'
    record = {"id": "a", "messages": [{"role": "user", "content": "hi"}]}
    (folder / "in.jsonl").write_text(json.dumps(record) + "\n")
    constraints = (
        (f"--json-schema={schema}", r'\{"ok": ?(true|false)\}'),
        ("--regex=[ab]{3}", "[ab]{3}"),
    )
    for flag, pattern in constraints:
        words = ["-n", "4", "--max-tokens", "30", "--logprobs", "--top-logprobs", "2", flag]
        done = subprocess.run(
            [BIN / "qvl", "generate", *words, "--endpoint", server.url, "in.jsonl", "--plain"],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "QVL_API_KEY": KEY},
        )
        assert done.returncode == 0, done.stderr
        for response in json.loads(done.stdout)["responses"]:
            assert re.fullmatch(pattern, response["content"]), response
            assert {len(place) for place in response["top_logprobs"]} <= {2, 3}


def records_of_parity(folder: Path) -> list[str]:
    """Writes records.jsonl, a text and an image with answers, longer than a cache block; its lines."""
    image = {"type": "image", "image": data_uri(CASES["one image"][1][0])}
    lines = []
    for number, parts in enumerate(([], [image])):
        words = {"type": "text", "text": f"What is it? Think of {number} and of " + "more, " * 40}
        turns: list[dict] = [{"role": "user", "content": [*parts, words]}]
        turns.append({"role": "assistant", "content": "It is a seven."})
        lines.append(json.dumps({"id": str(number), "messages": turns}) + "\n")
    (folder / "records.jsonl").write_text("".join(lines))
    return lines


def records_of_videos(folder: Path) -> None:
    """Writes videos.jsonl: a file and a folder of frames, each with an answer."""
    write_videos(folder)
    with (folder / "videos.jsonl").open("w") as file:
        for reference in VIDEOS:
            parts = [{"type": "video", "video": reference}, {"type": "text", "text": "What?"}]
            turns: list[dict] = [{"role": "user", "content": parts}]
            turns.append({"role": "assistant", "content": "It moves."})
            file.write(json.dumps({"id": reference, "messages": turns}) + "\n")


def parity(
    server: Running, model: Path, folder: Path, name: str = "records.jsonl"
) -> "subprocess.CompletedProcess[str]":
    """Runs `qvl parity` on records of the folder against a server."""
    words = ["--endpoint", server.url, folder / name, "-o", folder / "out.zst"]
    return subprocess.run(
        [BIN / "qvl", "parity", model, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "QVL_API_KEY": KEY},
    )


def own_address() -> str:
    """This machine's address that is not loopback: requests to it look like another machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent
        return str(probe.getsockname()[0])


def picture(width: int, height: int, seed: int) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 256, (height // 8, width // 8, 3), generator=generator)
    small = Image.fromarray(values.to(torch.uint8).numpy())
    return small.resize((width, height), Image.Resampling.BICUBIC)


def data_uri(image: Image.Image) -> str:
    content = io.BytesIO()
    image.save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


CASES = {  # text, images
    "text": ("How many objects are there?", []),
    "one image": ("What is it?", [picture(160, 96, 1)]),
    "three images": ("Compare.", [picture(96, 64, 2), picture(64, 64, 3), picture(192, 128, 4)]),
}


VIDEOS = ("a.mp4", "frames")


def write_videos(folder: Path) -> list[str]:
    """Writes VIDEOS to a folder; their data: URIs. Not at 2 frames per second, and sizes are resized."""
    videos.write(folder / "a.mp4", 30, width=100, height=70)
    (folder / "frames").mkdir(exist_ok=True)
    for i in range(5):
        Image.fromarray(videos.frame(i, 100, 70, seed=i)).save(folder / f"frames/{i}.png")
    parts = [{"type": "video", "video": reference} for reference in VIDEOS]
    (message,) = chat.to_openai([{"role": "user", "content": parts}], folder)
    return [part["video_url"]["url"] for part in message["content"]]


def messages(text: str, images: list[Image.Image]) -> list[dict]:
    """A question for the chat endpoint."""
    parts: list[dict] = [{"type": "image_url", "image_url": {"url": data_uri(i)}} for i in images]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]


class Reference:
    """transformers on the same checkpoint, in fp32."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        self.folder = folder
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.image_processor: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
        self.model.eval()

    def prompt(
        self, text: str, images: list[Image.Image], clips: Sequence[video.Clip] = ()
    ) -> tuple[list[int], dict]:
        """Token ids with one pad per image and video, and the model's inputs with all pads."""
        parts: list[dict] = [{"type": "image"} for _ in images]
        parts += [{"type": "video"} for _ in clips]
        words = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
            tokenize=False,
            add_generation_prompt=True,
        )
        short = self.tokenizer(words, add_special_tokens=False)["input_ids"]
        vision = self.image_processor(images, return_tensors="pt") if images else {}
        sizes = iter(vision["image_grid_thw"].prod(-1) // 4 if images else ())
        marks = iter(())
        if clips:
            rules = video_patches.load_rules(self.folder)
            patches, grids = zip(*map(rules.patches, clips), strict=True)
            marks = iter(map(rules.marks, clips, grids))
            vision["pixel_values_videos"] = torch.cat([torch.from_numpy(each) for each in patches])
            vision["video_grid_thw"] = torch.tensor(grids)
        full = []
        for token in short:
            if token == self.model.config.image_token_id:
                full += [token] * int(next(sizes))
            elif token == self.model.config.video_token_id:
                full += self.tokenizer(next(marks), add_special_tokens=False)["input_ids"]
            else:
                full.append(token)
        return short, {**vision, "input_ids": torch.tensor([full])}

    @torch.no_grad()
    def logprobs(self, inputs: dict, answer: list[int]) -> torch.Tensor:
        """(tokens of prompt and answer, vocabulary): the log-probs after each token."""
        ids = torch.cat([inputs["input_ids"][0], torch.tensor(answer, dtype=torch.long)])[None]
        config = self.model.config
        kinds = (ids == config.image_token_id).long() + 2 * (ids == config.video_token_id).long()
        pictures = {k: v for k, v in inputs.items() if k.startswith("pixel_") or "_grid_" in k}
        logits = self.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=kinds,
            **pictures,
        ).logits
        return logits[0].log_softmax(-1)


def difference(
    reference: Reference, inputs: dict, answer: list[int], logprobs: list[float]
) -> tuple[float, float]:
    """The largest difference of the answer's log-probs, and the largest gap to the greedy token."""
    table = reference.logprobs(inputs, answer)
    start = inputs["input_ids"].shape[1] - 1
    rows = table[start : start + len(answer)]
    chosen = rows.gather(1, torch.tensor(answer)[:, None])[:, 0]
    gap = (rows.max(-1).values - chosen).max().item()
    return (chosen - torch.tensor(logprobs)).abs().max().item(), gap
