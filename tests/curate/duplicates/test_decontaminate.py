"""Images of evaluation sets, templates, and the memory that the runs take."""

import random
import time

import pytest
from PIL import Image, ImageDraw

from qvl.curate.duplicates.decontaminate import (
    Contamination,
    Grams,
    Images,
    Match,
    all_texts,
    user_texts,
)
from qvl.errors import UserError

EVAL = Match("eval.jsonl", "e1")


def record(text, image=None):
    parts = [{"type": "image", "image": image}] if image else []
    return {
        "id": "a",
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
    }


@pytest.fixture
def pictures(tmp_path):
    for name, shape in (("disc", "ellipse"), ("box", "rectangle")):
        picture = Image.new("RGB", (256, 256), "white")
        getattr(ImageDraw.Draw(picture), shape)((60, 40, 220, 180), fill="navy")
        picture.save(tmp_path / f"{name}.png")
        small = picture.resize((128, 128), Image.Resampling.BOX)
        small.save(tmp_path / f"{name}.jpg", quality=90)
    return tmp_path


def test_an_image_is_found_equal_or_smaller_but_not_another(pictures):
    images = Images(4, pictures)
    images.add(record("?", "disc.png"), pictures, EVAL)
    stage = Contamination(Grams(13, 10), all_texts, images)
    equal, smaller = stage(record("?", "disc.png")), stage(record("?", "disc.jpg"))
    assert equal and equal[:2] == ("image", "eval.jsonl 'e1': equals disc.png")
    assert smaller and smaller[:2] == ("image", "eval.jsonl 'e1': disc.jpg looks like disc.png")
    assert stage(record("?", "box.png")) is None


def test_a_missing_image_is_an_error_or_a_reject(pictures):
    images = Images(4, pictures)
    with pytest.raises(UserError, match=r"record 'a'.*gone\.png"):
        Contamination(Grams(13, 10), all_texts, images)(record("?", "gone.png"))
    lenient = Contamination(Grams(13, 10), all_texts, images, drop_unreadable=True)
    dropped = lenient(record("?", "gone.png"))
    assert dropped and dropped.reason == "unreadable-media"


def test_ngrams_of_a_template_are_ignored():
    template = "Look at the figure and answer the question with a single word or phrase please:"
    grams = Grams(8, 3)
    for number in range(5):
        text = f"{template} what is item number {number} of the shelf in the cellar made of?"
        grams.add(user_texts(record(text)), Match("eval.jsonl", f"e{number}"))
    assert grams.close() > 0
    stage = Contamination(grams, all_texts)
    assert stage(record(f"{template} who is it?")) is None
    assert stage(record(f"{template} what is item number 4 of the shelf made of?")) is not None


def test_responses_are_compared_unless_only_questions_are():
    grams = Grams(5, 10)
    grams.add(["one two three four five six"], EVAL)
    grams.close()
    sampled = {**record("?"), "responses": [{"content": "he said: one two three four five, six!"}]}
    assert Contamination(grams, all_texts)(sampled) is not None
    assert Contamination(grams, user_texts)(sampled) is None


def test_a_megabyte_takes_seconds_at_most():
    draw = random.Random(0)
    words = [f"w{n}" for n in range(20_000)]
    grams = Grams(13, 10)
    for number in range(100):
        grams.add([" ".join(draw.choices(words, k=100))], Match("eval.jsonl", str(number)))
    grams.close()
    began = time.process_time()
    for _ in range(500):
        assert grams.find(" ".join(draw.choices(words, k=300))) is None
    assert time.process_time() - began < 10
