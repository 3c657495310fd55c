"""Pads of images and videos become tokens, in one way for packs, the local engine and its clients."""

import shutil

import numpy as np
import pytest
import videos
from PIL import Image

from qvl.client import chat
from qvl.engines.local.checkpoint import Checkpoint
from qvl.engines.local.media import RequestMedia
from qvl.engines.prompt_rules import PromptRules
from qvl.engines.tokens import TokensPrompt
from qvl.errors import UserError
from qvl.media import pads, video_patches
from qvl.pack.render import Renderer
from qvl.stage import Drop

IMAGE, VIDEO = 7, 8


def media(sizes, clips):
    return (
        pads.PadItems("image", IMAGE, sizes, lambda size: [IMAGE] * size),
        pads.PadItems("video", VIDEO, clips, lambda marks: [*marks]),
    )


def test_pads_become_the_tokens_of_their_items_in_order_across_pieces():
    pieces = [[1, IMAGE, 2], [3, 4], [VIDEO, IMAGE, 5]]
    found = pads.expand(pieces, *media([2, 3], [(9, VIDEO, VIDEO)]))
    assert found == [[1, 7, 7, 2], [3, 4], [9, 8, 8, 7, 7, 7, 5]]
    assert pieces == [[1, IMAGE, 2], [3, 4], [VIDEO, IMAGE, 5]]


@pytest.mark.parametrize(
    ("ids", "sizes", "clips", "message"),
    [
        ([1, IMAGE], [], [], "1 image tokens for 0 images"),
        ([1, IMAGE, IMAGE], [2], [], "2 image tokens for 1 images"),
        ([1], [], [(9,)], "0 video tokens for 1 videos"),
    ],
)
def test_a_pad_without_an_item_and_an_item_without_a_pad_are_errors(ids, sizes, clips, message):
    with pytest.raises(pads.PadMismatch, match=message):
        pads.expand([ids], *media(sizes, clips))


def test_no_item_is_decoded_for_a_prompt_with_another_number_of_pads():
    def decode(item):
        raise AssertionError(item)

    with pytest.raises(pads.PadMismatch):
        pads.expand([[1]], pads.PadItems("image", IMAGE, ["a.png"], decode))


@pytest.fixture(scope="module")
def folder(twin, tmp_path_factory):
    """A twin, an image and a video."""
    made = tmp_path_factory.mktemp("pads")
    shutil.copytree(twin, made / "twin")
    videos.write(made / "a.mp4", 30, width=100, height=70)
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    Image.fromarray(noise).save(made / "a.png")
    return made


PARTS = [
    {"type": "video", "video": "a.mp4"},
    {"type": "text", "text": "Compare"},
    {"type": "image", "image": "a.png"},
    {"type": "text", "text": "them."},
]


def test_a_pack_the_local_engine_and_its_client_expand_a_conversation_alike(folder):
    turns = [{"role": "user", "content": PARTS}]
    renderer = Renderer(folder / "twin", media_root=folder)
    packed = renderer.all_targets({"id": "a", "messages": turns})
    assert not isinstance(packed, Drop)

    checkpoint = Checkpoint(folder / "twin")
    served = checkpoint.prepare_chat(
        turns,
        None,
        RequestMedia(checkpoint.image_rules, checkpoint.video_rules, folder, 1 << 20),
    )

    text = renderer.template(turns, None, prompt=True)
    short = renderer.tokenizer.encode(text, add_special_tokens=False).ids
    (turn,) = chat.to_openai(turns, folder)
    urls = {
        kind: [part[kind]["url"] for part in turn["content"] if part["type"] == kind]
        for kind in ("image_url", "video_url")
    }
    rules = PromptRules.load(folder / "twin")
    sent = rules.expand(TokensPrompt(short, urls["image_url"], urls["video_url"]))

    assert list(packed.ids) == served.ids == sent
    assert sent.count(rules.image_token) == 96 * 64 // 32**2
    assert len(sent) > len(short) + 6


@pytest.mark.parametrize("pad", ["<|image_pad|>", video_patches.PAD])
def test_a_template_that_writes_a_pad_too_many_is_an_error_everywhere(folder, tmp_path, pad):
    shutil.copytree(folder / "twin", tmp_path / "twin")
    path = tmp_path / "twin" / "chat_template.jinja"
    path.write_text(path.read_text() + pad)
    turns = [{"role": "user", "content": PARTS}]
    found = Renderer(tmp_path / "twin", media_root=folder).all_targets(
        {"id": "a", "messages": turns}
    )
    kind = pad.removeprefix("<|").partition("_")[0]
    checkpoint = Checkpoint(tmp_path / "twin")
    assert found == Drop("template", f"it renders 2 {kind} tokens for 1 {kind}s")
    with pytest.raises(UserError, match=f"2 {kind} tokens for 1 {kind}s"):
        checkpoint.prepare_chat(
            turns,
            None,
            RequestMedia(checkpoint.image_rules, checkpoint.video_rules, folder, 1 << 20),
        )
