"""Copies of benchmarks in the forms that are around become questions with their references."""

import base64
import io
import json
import pickle
import zlib

import pandas
import pytest
from PIL import Image

from qvl.errors import UserError
from qvl.evaluate import catalog
from qvl.evaluate.loading import Loading
from qvl.record import check
from qvl.reward.verdict import judge, unverifiable
from qvl.stage import Run


def png(width=64, height=32, colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def load(tmp_path):
    """The records of a file of a benchmark, and the folder that they are written to."""

    def loaded(name, path, **options):
        output = str(tmp_path / "out.jsonl.zst")
        loading = Loading(catalog.load(name), output=output, media_dir=None, media_root=tmp_path)
        with Run("eval load", [str(path)], output, reader=loading.reader, **options) as run:
            records = list(loading.records(run))
            run.write(records)
        assert [check(record) for record in records] == [None] * len(records)
        assert [unverifiable(record) for record in records] == [None] * len(records)
        return records

    return loaded


def tsv(tmp_path, *rows):
    path = tmp_path / "copy.tsv"
    pandas.DataFrame(list(rows)).to_csv(path, sep="\t", index=False)
    return path


def parquet(tmp_path, *rows):
    path = tmp_path / "copy.parquet"
    pandas.DataFrame(list(rows)).to_parquet(path)
    return path


def lines(tmp_path, *rows):
    path = tmp_path / "copy.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def text_of(record):
    content = record["messages"][0]["content"]
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return "".join(part.get("text", "<image>") for part in parts)


def right(record, content):
    verdict = judge(record, {"content": content})
    assert verdict.reward is not None, verdict
    return verdict.reward


def test_vlmevalkit_s_tsv_has_images_in_base64_and_options_in_columns(load, tmp_path):
    image = base64.b64encode(png(300, 200)).decode()
    row = {"index": 3, "image": image, "question": "Which?", "A": "cat", "B": "dog", "C": "",
           "answer": "B", "category": "animals", "l2-category": "pets"}  # fmt: skip
    (record,) = load("mmstar", tsv(tmp_path, row))
    assert record["id"] == "mmstar-3"
    image_part, words = record["messages"][0]["content"]
    assert (tmp_path / image_part["image"]).read_bytes() == png(300, 200)
    assert words["text"].startswith("Which?\nA. cat\nB. dog\n\n")
    assert (record["answer"], record["task"], record["category"]) == ("B", "choice", "animals")
    assert right(record, "The answer is B.") == 1
    assert right(record, "A") == 0


def test_mmmu_s_parquet_has_options_as_text_and_images_in_their_places(load, tmp_path):
    row = {"id": "validation_Art_1", "question": "Compare <image 2> to <image 1>.",
           "options": "['one', 'two']", "answer": "A", "question_type": "multiple-choice",
           "image_1": {"bytes": png(40, 40), "path": "a.png"},
           "image_2": {"bytes": png(50, 50), "path": "b.png"}, "image_3": None}  # fmt: skip
    open_ = {"id": "validation_Art_2", "question": "How much?", "options": "[]",
             "answer": "['24/7', '3.429']", "question_type": "open",
             "image_1": {"bytes": png(60, 60), "path": "c.png"}}  # fmt: skip
    choice, free = load("mmmu", parquet(tmp_path, row, open_))
    kinds = [part["type"] for part in choice["messages"][0]["content"]]
    assert kinds == ["text", "image", "text", "image", "text"]
    first = choice["messages"][0]["content"][1]["image"]
    assert (tmp_path / first).read_bytes() == png(50, 50)
    assert (choice["answer"], choice["task"]) == ("A", "choice")
    assert "options" not in text_of(free) and "word" in text_of(free)
    assert [right(free, answer) for answer in ("24/7", "3.429", "about 7")] == [1, 1, 0]


def test_an_index_and_a_letter_in_brackets_and_an_option_s_text_are_letters(load, tmp_path):
    base = {"question": "Which?", "choices": ["cat", "dog", "(C) cow"]}
    rows = [
        {**base, "idx": at, "answer": answer} for at, answer in enumerate([1, "(B)", "dog", "b?"])
    ]
    path = lines(tmp_path, *rows)
    with pytest.raises(UserError, match=r"copy.jsonl:4: .*'b\?' is none of the 3 options"):
        load("blink", path)
    rejects = str(tmp_path / "rejects.jsonl")
    found = load("blink", path, on_error="reject", rejects=rejects)
    assert [record["answer"] for record in found] == ["B", "B", "B"]


def test_options_that_carry_their_letters_lose_them(load, tmp_path):
    row = {"question_id": "1-1", "videoID": "abc", "duration": "short", "question": "What?",
           "options": ["A. Red.", "B. Blue.", "C. Green.", "D. None."], "answer": "C"}  # fmt: skip
    (record,) = load("video-mme", lines(tmp_path, row))
    assert record["messages"][0]["content"][0] == {"type": "video", "video": "abc.mp4"}
    assert "\nA. Red.\nB. Blue." in text_of(record)


def test_options_within_the_question_are_not_said_again(load, tmp_path):
    row = {"question_id": 0, "image": "a.jpg", "label": "A", "category": "direct_attributes",
           "text": "What colour?\n(A) red\n(B) blue\nAnswer with the letter."}  # fmt: skip
    (record,) = load("vstar", lines(tmp_path, row))
    assert text_of(record).count("red") == 1
    assert right(record, "A") == 1


@pytest.mark.parametrize(
    ("name", "row", "rewards"),
    [
        (
            "docvqa",
            {"questionId": "7", "question": "Who?", "answers": ["Ann Lee", "A. Lee"]},
            {"Ann Lee": 1, "ann le": 1 - 1 / 7, "Bob": 0},
        ),
        (
            "chartqa",
            {"query": "How many?", "label": ["40"], "human_or_machine": 0},
            {"41": 1, "43": 0, "The value is 40%": 1},
        ),
        (
            "ocrbench",
            {"dataset": "SVT", "question": "what is written?", "answer": ["CENTRE"]},
            {"It says: Centre.": 1, "center": 0},
        ),
        (
            "ocrbench",
            {
                "question": "Write the formula.",
                "question_type": "Handwritten Mathematical Expression Recognition",
                "answer": r"\frac { a } { b }",
            },
            {r"$\frac{a}{b}$": 1, r"\frac{A}{b}": 0},
        ),
        ("countbench", {"question": "How many cats?", "number": 4}, {"four": 1, "14": 0}),
        (
            "mathvista",
            {"pid": 1, "question": "How long?", "choices": None, "precision": 1.0,
             "answer_type": "float", "answer": "1.2"},
            {"It is 1.23 cm": 1, "1.3": 0},
        ),
        (
            "mathvision",
            {"id": 1, "question": "Find x", "options": [], "answer": r"\frac{1}{2}", "level": 3},
            {r"\boxed{0.5}": 1, r"\boxed{2}": 0},
        ),
        (
            "hallusionbench",
            {"category": "VD", "set_id": "1", "figure_id": "0", "question_id": "2",
             "question": "Is it larger?", "gt_answer": "0"},
            {"No, it is not.": 1, "Yes": 0},
        ),
        ("aime25", {"problem": "Find n.", "answer": "70"}, {r"\boxed{70}": 1, "71": 0}),
        (
            "charades-sta",
            {"video": "x.mp4", "caption": "a person opens a door.", "timestamp": 1, "start": 2.0,
             "end": 6.0},
            {"2s - 6s": 1, "from 4 to 6 seconds": 0.5},
        ),
    ],
)  # fmt: skip
def test_a_row_becomes_a_question_that_its_verifier_judges(load, tmp_path, name, row, rewards):
    (record,) = load(name, lines(tmp_path, row))
    found = {content: right(record, content) for content in rewards}
    assert found == pytest.approx(rewards)


def test_a_box_in_pixels_becomes_thousandths_of_the_image(load, tmp_path):
    row = {"question_id": "5", "image": {"bytes": png(200, 100), "path": "a.png"},
           "question": "Describe the region.", "answer": ["the red car", "car"],
           "bbox": [20.0, 10.0, 100.0, 50.0], "file_name": "x.jpg"}  # fmt: skip
    (record,) = load("refcoco", parquet(tmp_path, row))
    assert record["answer"] == [{"bbox_2d": [100, 100, 600, 600], "label": "the red car"}]
    assert "the red car" in text_of(record)
    assert right(record, '[{"bbox_2d": [100, 100, 600, 590], "label": "car"}]') > 0.9


def test_charades_text_is_read_as_its_authors_wrote_it(load, tmp_path):
    path = tmp_path / "charades_sta_test.txt"
    path.write_text("3MSZA 24.3 30.4##person turn a light on.\n")
    (record,) = load("charades-sta", path)
    assert record["answer"] == [24.3, 30.4]
    assert record["messages"][0]["content"][0]["video"] == "3MSZA.mp4"


def test_coco_gives_one_question_per_image(load, tmp_path):
    data = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 100, "height": 50},
                   {"id": 2, "file_name": "b.jpg", "width": 100, "height": 50}],
        "annotations": [{"image_id": 1, "bbox": [10, 10, 20, 20], "category_id": 3}],
        "categories": [{"id": 3, "name": "fish"}, {"id": 4, "name": "crab"}],
    }  # fmt: skip
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(data))
    first, second = load("odinw13", path)
    assert first["answer"] == [{"bbox_2d": [100, 200, 300, 600], "label": "fish"}]
    assert "'fish, crab'" in text_of(first) and second["answer"] == []
    path.write_text('{"images": []}')
    with pytest.raises(UserError, match="not COCO's JSON"):
        load("odinw13", path)


def test_ifeval_s_null_arguments_are_absent(load, tmp_path):
    row = {"key": 1000, "prompt": "Write without commas.",
           "instruction_id_list": ["punctuation:no_comma"],
           "kwargs": [{"num_highlights": None}]}  # fmt: skip
    (record,) = load("ifeval", lines(tmp_path, row))
    assert right(record, "No commas here") == 1
    assert right(record, "One, two") == 0


def livecode(**hidden):
    public = [{"input": "2 3", "output": "5", "testtype": "stdin"}]
    return {"question_id": "abc", "question_content": "Add.", "starter_code": "",
            "public_test_cases": json.dumps(public), "difficulty": "easy", **hidden}  # fmt: skip


def test_livecodebench_s_hidden_tests_are_unpacked(load, tmp_path):
    tests = json.dumps([{"input": "4 4", "output": "8", "testtype": "stdin"}])
    packed = base64.b64encode(zlib.compress(pickle.dumps(tests))).decode()
    for hidden in (tests, packed):
        (record,) = load("livecodebench", lines(tmp_path, livecode(private_test_cases=hidden)))
        assert [each["stdout"] for each in record["answer"]["tests"]] == ["5", "8"]


class Evil:
    def __reduce__(self):
        return print, ("run",)


def test_a_pickle_that_would_run_code_is_refused(load, tmp_path, capfd):
    packed = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(UserError, match=r"names builtins\.print"):
        load("livecodebench", lines(tmp_path, livecode(private_test_cases=packed)))
    assert "run" not in capfd.readouterr().out


def test_functional_tests_call_the_function(load, tmp_path):
    public = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
    row = livecode(public_test_cases=json.dumps(public), metadata='{"func_name": "total"}')
    (record,) = load("livecodebench", lines(tmp_path, row))
    assert record["answer"] == {
        "tests": [{"arguments": [[1, 2], 3], "result": 6}],
        "function": "total",
    }


def test_a_row_without_what_its_kind_needs_is_named(load, tmp_path):
    with pytest.raises(UserError, match=r"copy.jsonl:1: row 4: no answer; looked for answer"):
        load("docvqa", lines(tmp_path, {"id": 4, "question": "Who?"}))
    rows = [{"id": 4, "question": "Who?", "answer": "x"}] * 2
    with pytest.raises(UserError, match="the id of an earlier row"):
        load("docvqa", lines(tmp_path, *rows))


def test_every_benchmark_file_is_sound_and_one_of_the_user_s_is_checked(tmp_path):
    for name in catalog.names():
        assert catalog.load(name).name == name
    with pytest.raises(UserError, match="no benchmark 'nosuch'; there are aime25"):
        catalog.load("nosuch")
    own = tmp_path / "own.toml"
    good = 'title = "t"\npaper = "p"\nkind = "text"\nverifier = "exact"\n'
    own.write_text(good)
    assert catalog.load(str(own)).name == "own"
    for change, words in (
        ("kinds = 1\n", "unknown key 'kinds'"),
        ('metric = "best"\n', "metric 'best': expected one of accuracy"),
        ('[columns]\nwho = ["a"]\n', "columns: expected id"),
        ("keep = 1\n", "keep: expected a list"),
    ):
        own = tmp_path / f"own{len(change)}.toml"
        own.write_text(good + change)
        with pytest.raises(UserError, match=words):
            catalog.load(str(own))
