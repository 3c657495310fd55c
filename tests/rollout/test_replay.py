import pytest

from qvl.errors import UserError
from qvl.io import jsonl
from qvl.pack.template import load_tokenizer
from qvl.rollout.replay import Replay

ASKED = {"role": "user", "content": "2 + 3"}


def written(folder, *answers):
    """The path of records whose answers these are."""
    records = [
        {"id": f"r{number}", "messages": [ASKED, {"role": "assistant", **answer}]}
        for number, answer in enumerate(answers)
    ]
    jsonl.write(records, str(folder / "sft.jsonl.zst"))
    return [str(folder / "sft.jsonl.zst")]


def test_the_weights_of_what_is_taken_add_up_to_the_share(twin, tmp_path):
    replay = Replay(written(tmp_path, {"content": "5"}, {"content": "five"}), twin, tmp_path)
    taken = replay.take(1, 3, 0.2)
    assert [one.sample.id for one in taken] == ["r1", "r0", "r1"]
    spans = [span for one in taken for span in one.sample.spans]
    assert sum((end - start) * weight for start, end, weight in spans) == pytest.approx(0.2)


def test_a_thought_that_the_template_does_not_render_ends_the_run_before_its_first_step(
    twin, tmp_path
):
    paths = written(tmp_path, {"content": "5"}, {"content": "5", "reasoning_content": "2, 3, so 5"})
    with pytest.raises(UserError, match=r"--replay: record 'r1': .*--think-tags"):
        Replay(paths, twin, tmp_path)
    replay = Replay(paths, twin, tmp_path, think_tags=True)
    sample = replay.take(1, 1, 0.2)[0].sample
    text = load_tokenizer(twin).decode(list(sample.ids))
    assert "<think>\n2, 3, so 5\n</think>\n\n5" in text


def test_a_record_without_an_answer_ends_the_run_before_its_first_step(twin, tmp_path):
    jsonl.write([{"id": "asks", "messages": [ASKED]}], str(tmp_path / "rl.jsonl.zst"))
    with pytest.raises(UserError, match=r"record 'asks': the last message is not an assistant"):
        Replay([str(tmp_path / "rl.jsonl.zst")], twin, tmp_path)
