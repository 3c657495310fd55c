"""What training and distillation ask of an engine, the same of all three: tokens in, tokens out.

    with connect("http://127.0.0.1:8000", folder) as engine:
        sample = engine.sample(Prompt(ids, images), Sampling(max_tokens=64, seed=3)).result()
        teacher = engine.score(Prompt([*ids, *sample.token_ids], images), top=64).result()
        engine.load(Path("step-100"), "step-100")

A prompt is token ids with one <|image_pad|> for each image and one <|video_pad|> for each video, which is
how the engines want it: they expand an image to its patches, a video to its pairs of frames, each behind
its time, themselves, and expand one that is expanded already again, in silence. So pads, images and
videos are counted before a request is sent, and the ids that come back are compared with our own
expansion. Of a conversation that goes on, the next prompt is the ids of this one, the sampled
ones and those of the next turn; nothing is rendered or tokenised a second time.

Log-probabilities are those of softmax(logits), before temperature, top-p and top-k; Sample.of_policy says
whether the tokens were drawn from just that. But those of images and videos are never drawn, whatever
their log-prob: the next turn's prompt would be short of an image. SGLang at temperature 0 takes the
likeliest token all the same. Weights are known by a version, a word of the caller's.
"""

import functools
import hashlib
import importlib
import itertools
import json
import threading
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn, Self

from qvl.client import Client
from qvl.client.endpoint import Refused
from qvl.engines import probe, weights
from qvl.engines.serving import launch
from qvl.errors import EndpointError, UserError
from qvl.media import images, patches, video, video_patches
from qvl.pack.template import load_tokenizer

NO_VIDEOS = "{endpoint}: its videos are not qvl's; SGLang's are where qvl serve started it"
REMEMBERED = 1024  # images and videos whose tokens are known, a few kB each: our choice
PROBE = (1, 2, 3, 5, 8, 13, 21, 34)  # tokens that are scored before and after new weights


class Prompt(NamedTuple):
    """Token ids with one <|image_pad|> an image and one <|video_pad|> a video, and these as data: URIs,
    either kind in its order."""

    token_ids: Sequence[int]
    images: Sequence[str] = ()
    videos: Sequence[str] = ()
    """files, or frames as qvl.client.chat.frames_uri joins them"""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How an answer is drawn."""

    max_tokens: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    """0 is all"""
    seed: int | None = None
    top_logprobs: int = 0
    """so many of the likeliest tokens in each token's place"""

    @property
    def is_plain(self) -> bool:
        return self.temperature == 1.0 and self.top_p == 1.0 and self.top_k == 0


Top = list[list[tuple[int, float]]]  # a place's likeliest tokens and their log-probs, downwards


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An answer of N tokens."""

    prompt_ids: list[int]
    """expanded: an image has as many pads as tokens, a video its frames' times and pads"""
    token_ids: list[int]
    """(N), the end token included"""
    logprobs: list[float]
    """(N)"""
    top: Top
    """(N, top_logprobs), empty where none were asked for"""
    finish_reason: str
    """stop, length or abort"""
    versions: list[tuple[str, int, int]]
    """the weights that gave tokens begin to end"""
    of_policy: bool
    """the tokens were drawn from just these log-probs: temperature 1, no top-p, no top-k"""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an engine thinks of T given tokens, images and videos expanded."""

    prompt_ids: list[int]
    """(T)"""
    logprobs: list[float | None]
    """(T); None of the first, and of the pads of images and videos"""
    top: Top
    """(T - 1, top): of the places that follow a token"""
    version: str


@dataclass(frozen=True)
class Rules:
    """What a checkpoint's folder says of tokens, images and videos."""

    folder: Path
    vocabulary: int
    image_token: int
    video_token: int
    patches: patches.ImageRules | None
    videos: video_patches.VideoRules | None
    never_sampled: tuple[int, ...]
    """tokens that an answer must not hold"""
    _expansions: dict[tuple[int, bytes], list[int]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _remembering: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, folder: Path) -> "Rules":
        try:
            config = json.loads((folder / "config.json").read_bytes())
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: cannot read its config.json: {error}") from None
        has_images = (folder / "preprocessor_config.json").exists()
        return cls(
            folder=folder,
            vocabulary=config["text_config"]["vocab_size"],
            image_token=config["image_token_id"],
            video_token=config["video_token_id"],
            patches=patches.load_rules(folder) if has_images else None,
            videos=video_patches.load_rules(folder) if video_patches.has_rules(folder) else None,
            never_sampled=tuple(launch.never_sampled(config)),
        )

    @property
    def pads(self) -> tuple[int, int]:
        """The tokens that stand for patches, whose log-probabilities mean nothing."""
        return self.image_token, self.video_token

    def expanded(self, prompt: Prompt) -> list[int]:
        """The ids with each image's pad as often as it has tokens, and for each video's what it becomes.
        UserError for a prompt that an engine would answer wrongly, or die of."""
        wrong = next((i for i in prompt.token_ids if not 0 <= i < self.vocabulary), None)
        if wrong is not None:
            raise UserError(f"token id {wrong}: the vocabulary has {self.vocabulary:,}")
        runs = {}
        for token, name, given, expand in (
            (self.image_token, "image", prompt.images, self._of_image),
            (self.video_token, "video", prompt.videos, self._of_video),
        ):
            pads = sum(each == token for each in prompt.token_ids)
            if pads != len(given):
                raise UserError(
                    f"{pads} {name} tokens for {len(given)} {name}s: a prompt holds one for each, "
                    "not the expanded ones"
                )
            runs[token] = iter([self._known(token, each, expand) for each in given])
        found = (next(runs[token]) if token in runs else [token] for token in prompt.token_ids)
        return list(itertools.chain.from_iterable(found))

    def _known(self, token: int, reference: str, expand: Callable[[str], list[int]]) -> list[int]:
        """What an image or a video becomes, which is told by decoding it: once for a group of samples."""
        key = token, hashlib.sha256(reference.encode()).digest()
        found = self._expansions.get(key)
        if found is None:
            found = expand(reference)
            with self._remembering:
                while len(self._expansions) >= REMEMBERED:
                    del self._expansions[next(iter(self._expansions))]
                self._expansions[key] = found
        return found

    def _of_image(self, image: str) -> list[int]:
        if self.patches is None:
            raise UserError("this checkpoint takes no images: no preprocessor_config.json")
        picture = images.load(image, Path())
        return [self.image_token] * self.patches.num_tokens(self.patches.grid(*picture.size))

    def _of_video(self, reference: str) -> list[int]:
        if self.videos is None:
            raise UserError("this checkpoint takes no videos: no video_preprocessor_config.json")
        clip = video.read(reference, Path())
        frames, height, width, _ = clip.frames.shape
        try:
            marks = self.videos.marks(clip, self.videos.grid(frames, width, height))
        except ValueError as error:
            raise UserError(f"video {images.brief(reference)}: {error}") from None
        return self._tokenizer.encode(marks, add_special_tokens=False).ids

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.folder)


class Kept(EndpointError):
    """An engine did not take new weights, and answers with the last good ones as before."""


class Engine(ABC):
    """A running engine behind an address; to be entered. What each does its own way is abstract."""

    PAUSE: ClassVar[tuple[str, dict]]
    RESUME: ClassVar[tuple[str, dict]]
    SLEEP: ClassVar[tuple[str, dict]]
    WAKE: ClassVar[tuple[str, dict]]
    """routes and bodies"""

    def __init__(self, folder: Path, rules: Rules, client: Client, facts: dict[str, Any]) -> None:
        """folder: of the weights that are served. facts: as qvl.engines.probe has them."""
        self.folder, self.rules, self.client = folder, rules, client
        self.endpoint: str = facts["endpoint"]
        self.version: str = facts["weight_version"] or weights.FIRST_VERSION
        self.takes_weights = "weights" in facts["capabilities"]
        self.takes_videos = "videos" in facts["capabilities"]

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: types.TracebackType | None,
    ) -> None:
        self.client.__exit__(kind, error, trace)

    def sample(self, prompt: Prompt, sampling: Sampling) -> "Future[Sample]":
        """An answer to come. UserError for a wrong prompt; other errors are those of qvl.client."""
        expanded = self._expanded(prompt)
        asked = self.client.post(*self.sampling_request(prompt, sampling))
        return _then(asked, lambda said: self.read_sample(said, expanded, sampling))

    def score(self, prompt: Prompt, top: int = 0) -> "Future[Score]":
        """What the engine thinks of given tokens, and the likeliest `top` in their places."""
        expanded = self._expanded(prompt)
        asked = self.client.post(*self.score_request(prompt, top))
        return _then(asked, lambda said: self.read_score(said, expanded, top))

    def load(self, folder: Path, version: str) -> None:
        """Answer with the weights of another folder from now on, known as `version`.

        The folder's tensors are compared with those that are served first, by name and shape: UserError.
        While weights change nothing is answered, and what is in flight is finished on the old ones.
        An engine that could not take them, or answers as before, gets the last good ones back: Kept.
        Where that fails too it stays paused, to be started anew: EndpointError.
        """
        self._check(folder)
        before = self._thoughts()
        self._hold()
        try:
            self._load(folder, version)
        except (Refused, UserError) as error:
            self._repair(f"{folder}: {error}")
        self._release()
        if not weights.differ(before, self._thoughts()) and not weights.are_equal(
            self.folder, folder
        ):
            self._hold()
            self._repair(f"{folder}: the engine answers as before")
        self.folder, self.version = folder, version

    def pause(self) -> None:
        """Finish what is in flight, and let wait what is asked from now on."""
        self._order(*self.PAUSE)

    def resume(self) -> None:
        self._order(*self.RESUME)

    def sleep(self) -> None:
        """Pause, and give the accelerator's memory back; on a CPU there is none."""
        self.pause()
        self._order(*self.SLEEP)

    def wake(self) -> None:
        self._order(*self.WAKE)
        self.resume()

    @abstractmethod
    def sampling_request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict]:
        """The route and the body of it."""

    @abstractmethod
    def score_request(self, prompt: Prompt, top: int) -> tuple[str, dict]:
        """The route and the body of it."""

    @abstractmethod
    def read_sample(self, said: Any, expanded: list[int], sampling: Sampling) -> Sample:
        """An answer in the engine's own shape. EndpointError where its prompt is not `expanded`."""

    @abstractmethod
    def read_score(self, said: Any, expanded: list[int], top: int) -> Score:
        """A score in the engine's own shape. EndpointError where its prompt is not `expanded`."""

    @abstractmethod
    def _load(self, folder: Path, version: str) -> None:
        """New weights for a paused engine, all its caches emptied, its version told."""

    def _expanded(self, prompt: Prompt) -> list[int]:
        if prompt.videos and not self.takes_videos:
            raise UserError(NO_VIDEOS.format(endpoint=self.endpoint))
        return self.rules.expanded(prompt)

    def _check(self, folder: Path) -> None:
        if not self.takes_weights:
            raise UserError(f"{self.endpoint}: takes no new weights")
        weights.check_alike(self.folder, folder)

    def _hold(self) -> None:
        """Pause for new weights."""
        self.pause()

    def _release(self) -> None:
        self.resume()

    def _repair(self, reason: str) -> NoReturn:
        """The last good weights again, and the reason raised."""
        try:
            self._load(self.folder, self.version)
        except (Refused, UserError) as error:
            raise EndpointError(
                f"{reason}; the last good weights did not come back either ({error}): "
                f"{self.endpoint} is paused, start it anew"
            ) from None
        self._release()
        raise Kept(f"{reason}; {self.endpoint} has those of {self.version!r} again")

    def _thoughts(self) -> list[float]:
        return [each for each in self.score(Prompt(PROBE)).result().logprobs if each is not None]

    def _order(self, path: str, body: dict) -> dict:
        """Have the engine change itself."""
        return self.client.post(path, body, once=True).result()


class Replicas(Engine):
    """Several engines behind one address, which carry out orders as one: see qvl.engines.fleet.control.

    To be mixed with the class of their kind. While weights change some answer with the old ones.
    """

    PAUSE: ClassVar = ("/pause", {})
    RESUME: ClassVar = ("/resume", {})
    SLEEP: ClassVar = ("/sleep", {})
    WAKE: ClassVar = ("/wake_up", {})

    def load(self, folder: Path, version: str) -> None:
        self._check(folder)
        try:
            self._order(weights.UPDATE, weights.update_body(folder, version))
        except Refused as refused:
            raise Kept(str(refused)) from None
        self.folder, self.version = folder, version


def _then(asked: "Future[Any]", read: Callable[[Any], Any]) -> "Future[Any]":
    """The result to come, as `read` makes it."""
    found: Future[Any] = Future()

    def settle(answered: "Future[Any]") -> None:
        if not found.set_running_or_notify_cancel():
            return
        try:
            found.set_result(read(answered.result()))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            found.set_exception(error)

    found.add_done_callback(lambda _: asked.cancel())  # which does nothing where it is over
    asked.add_done_callback(settle)
    return found


def connect(endpoint: str, folder: Path, *, concurrency: int = 64) -> Engine:
    """The engine at an address, which serves the weights of `folder`. To be entered with `with`."""
    facts = probe.probe(endpoint)
    backend = facts["backend"]
    if backend is None or "token_ids" not in facts["capabilities"]:
        raise UserError(f"{endpoint}: takes no token ids; qvl serve, vLLM and SGLang do")
    kind = importlib.import_module(f"qvl.engines.{backend}.client").Policy
    if "replicas" in facts["capabilities"]:
        kind = type("Replicas", (Replicas, kind), {})
    rules = Rules.of(folder)
    client = Client([endpoint], facts["models"][0], concurrency=concurrency)
    return kind(folder, rules, client, facts)


def check_expansion(expanded: list[int], said: list[int]) -> None:
    """EndpointError where the engine saw other tokens than we mean."""
    if expanded == said:
        return
    pairs = itertools.zip_longest(expanded, said)
    place = next(i for i, (ours, theirs) in enumerate(pairs) if ours != theirs)
    ours = expanded[place] if place < len(expanded) else None
    theirs = said[place] if place < len(said) else None
    raise EndpointError(
        f"the engine read another prompt: {len(said)} tokens where there are {len(expanded)}; at "
        f"{place} it has {theirs}, and we {ours}"
    )
