"""There and back again: what a format can hold comes back equal, and what it cannot is named."""

from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qvl import formats
from qvl.formats.trade import Lost, Trade
from qvl.record import check

TEXTS = st.text(max_size=30).filter(lambda t: "\x00" not in t)
CALL = st.builds(
    lambda name, x: {
        "type": "function",
        "function": {"name": name, "arguments": orjson.dumps({"x": x}).decode()},
    },
    st.sampled_from(["zoom", "search"]),
    st.integers(0, 9),
)


def parts(kinds):
    part = st.one_of(
        st.builds(lambda t: {"type": "text", "text": t}, TEXTS.filter(bool)),
        *(
            st.builds(lambda r, k=k: {"type": k, k: f"images/{r}.png"}, st.integers(0, 3))
            for k in kinds
        ),
    )
    return st.lists(part, max_size=5)


def records(kinds=("image", "video"), system=True, tools=True, reasoning=True):
    content = st.one_of(TEXTS, parts(kinds)) if kinds else TEXTS

    @st.composite
    def build(draw):
        messages = []
        if system and draw(st.booleans()):
            messages.append({"role": "system", "content": draw(TEXTS.filter(bool))})
        for _ in range(draw(st.integers(1, 3))):
            messages.append({"role": "user", "content": draw(content)})
            if tools and draw(st.booleans()):
                calls = draw(st.lists(CALL, min_size=1, max_size=2))
                messages.append({"role": "assistant", "content": None, "tool_calls": calls})
                messages.append({"role": "tool", "content": draw(TEXTS)})
            answer = {"role": "assistant", "content": draw(TEXTS)}
            if reasoning and draw(st.booleans()):
                answer["reasoning_content"] = draw(st.text("ab \n", max_size=10))
            messages.append(answer)
        record = {"id": draw(st.text("abc1", min_size=1)), "messages": messages}
        for field, values in (
            ("answer", st.one_of(TEXTS, st.integers(-9, 9), st.lists(st.integers(0, 9)))),
            ("task", st.sampled_from(["math", "ocr"])),
            ("source", st.sampled_from(["a", "b"])),
            ("scores", st.just({"s": {"x": 0.5}})),
        ):
            if draw(st.booleans()):
                record[field] = draw(values)
        return record

    return build()


def there_and_back(name, record, tmp_path):
    media = tmp_path / "media"
    (tmp_path / "images").mkdir(exist_ok=True)
    for number in range(4):
        (tmp_path / "images" / f"{number}.png").write_bytes(b"\x89PNG %d" % number)
    out = Trade(media_root=tmp_path, think_tags=True)
    back = Trade(media_dir=media, think_tags=True)
    module = formats.get(name)
    out.begin(record)
    row = module.to_row(orjson.loads(orjson.dumps(record)), out)
    back.begin(row)
    return module.to_record(row, back)


@pytest.mark.parametrize("name", [n for n in formats.FORMATS if n != "qvl"])
@settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(record=records())
def test_comes_back_equal_or_says_what_it_cannot_hold(name, tmp_path, record):
    assert check(record) is None
    try:
        back = there_and_back(name, record, tmp_path)
    except Lost as error:
        assert "cannot hold" in str(error)
        return
    assert same_media(back, tmp_path) == same_media(record, tmp_path)


HOLDS = {  # the smallest claim of each format, so that it cannot pass by refusing everything
    "openai": {},
    "ms-swift": {"kinds": (), "system": True},
    "llama-factory": {"kinds": (), "system": True},
    "llava": {"kinds": (), "system": False, "tools": False},
    "trl": {"kinds": ()},
    "trl-prompt": {"kinds": ()},
    "verl": {"kinds": ()},
    "hf-parquet": {"kinds": (), "tools": False},
}


@pytest.mark.parametrize("name", HOLDS)
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_holds_what_it_claims_to_hold(name, tmp_path, data):
    record = data.draw(records(**HOLDS[name]))
    texts = orjson.dumps(record)
    if b"<image>" in texts or b"<video>" in texts or b"</think>" in texts:
        return
    back = there_and_back(name, record, tmp_path)
    assert same_media(back, tmp_path) == same_media(record, tmp_path)


@pytest.mark.parametrize("name", [n for n in formats.FORMATS if n != "qvl"])
def test_holds_images_among_text(name, tmp_path):
    content = [
        {"type": "image", "image": "images/1.png"},
        {"type": "text", "text": "What is it, and "},
        {"type": "image", "image": "images/2.png"},
        {"type": "text", "text": "?"},
    ]
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": "A cat."}]
    record = {"id": "a", "messages": turns}
    back = there_and_back(name, record, tmp_path)
    assert same_media(back, tmp_path) == same_media(record, tmp_path)


def same_media(record, root: Path):
    """The record with the content of its media in place of their names, and an order of keys."""

    def look(value):
        if isinstance(value, dict):
            return {k: look(v) for k, v in sorted(value.items())}
        if isinstance(value, list):
            return [look(v) for v in value]
        if isinstance(value, str) and value.startswith(("images/", "media/")) and "." in value:
            return (root / value).read_bytes()
        return value

    return look(record)
