"""`qvl eval load`, `extract`, `score`, `compare` and `summary` through a shell: each repeats one step."""

import json

import pytest
from fake_endpoint import FakeEndpoint, completion
from shells import shell

from qvl.io import jsonl

OPTIONS = "Which animal barks?\nA. a cat\nB. a dog\nC. a cow"


def answered(at, content, **response):
    messages = [{"role": "user", "content": OPTIONS}]
    return {"id": f"r{at}", "messages": messages, "answer": "B", "task": "choice", "source": "s",
            "responses": [{"content": content, **response}]}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    def line(words, **streams):
        for name, records in streams.items():
            jsonl.write(records, str(tmp_path / f"{name}.jsonl"), plain=True)
        return shell(tmp_path)(words, OMP_NUM_THREADS="1")

    return line


def read(path):
    return list(jsonl.read(str(path)))


def test_scoring_again_prints_what_changed_and_keeps_the_answers(run, tmp_path):
    records = [
        answered(0, "B", reward=1.0, verdict={"extracted": "B"}),
        answered(1, "The answer is B", reward=0.0, verdict={"extracted": None}),
        answered(2, "C", reward=None, verdict={"extracted": None}),
        answered(3, "A"),
    ]
    done = run("qvl eval score a.jsonl -o out.zst --report r.json --show 1", a=records)
    assert done.returncode == 0, done.stderr
    assert "changed: r1 response 0: 0 -> 1, read None -> 'B'\nchanged: 1 more\n" in done.stderr
    found = read(tmp_path / "out.zst")
    assert [each["responses"][0]["reward"] for each in found] == [1, 1, 0, 0]
    assert [each["responses"][0]["content"] for each in found] == ["B", "The answer is B", "C", "A"]
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["notes"]["changed"] == 2
    assert report["groups"][0]["accuracy"] == 0.5


def test_rules_extract_and_scoring_judges_what_was_extracted(run, tmp_path):
    records = [answered(0, "I think it is (B)."), answered(1, "no idea"), answered(2, "C")]
    done = run("qvl eval extract a.jsonl -o e.zst", a=records)
    assert done.returncode == 0, done.stderr
    found = read(tmp_path / "e.zst")
    assert [each["responses"][0]["extracted"] for each in found] == ["B", None, "C"]
    found[2]["responses"][0]["extracted"] = "B"  # as another extractor may
    done = run("qvl eval score b.jsonl -o s.zst --min all=0.6", b=found)
    assert done.returncode == 0, done.stderr
    assert [each["responses"][0]["reward"] for each in read(tmp_path / "s.zst")] == [1, 0, 1]


def test_a_model_extracts_without_the_reference(run, tmp_path):
    records = [answered(0, "Woof means the second."), answered(1, "who knows")]

    def extract(body, attempt):
        asked = json.dumps(body["messages"])
        assert "barks" in asked and '"B"' not in asked
        found = "Woof" in asked
        return completion(json.dumps({"found": found, "answer": "B" if found else ""}))

    with FakeEndpoint(extract) as fake:
        done = run(f"qvl eval extract --judge {fake.url} a.jsonl -o e.zst", a=records)
    assert done.returncode == 0, done.stderr
    found = [each["responses"][0] for each in read(tmp_path / "e.zst")]
    assert [each["extracted"] for each in found] == ["B", None]


def test_a_model_that_cannot_be_read_is_an_error_and_no_answer(run, tmp_path):
    with FakeEndpoint(lambda body, attempt: completion("what?")) as fake:
        command = f"qvl eval extract --judge {fake.url} a.jsonl -o e.zst"
        done = run(command, a=[answered(0, "B")])
        assert done.returncode == 3, done.stderr
        done = run(f"rm -f e.zst* && {command} --max-error-rate 1")
    assert done.returncode == 0, done.stderr
    (record,) = read(tmp_path / "e.zst")
    assert "extracted" not in record["responses"][0]
    assert "no verdict in 3 replies" in record["responses"][0]["extraction_error"]


def test_two_runs_are_compared_and_the_changed_items_are_a_stream(run):
    before = [answered(at, "x", reward=float(at < 2)) for at in range(4)]
    after = [answered(at, "y", reward=float(at > 0)) for at in range(4)]
    done = run("qvl eval compare a.jsonl b.jsonl | zstdcat", a=before, b=after)
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["r0", "r2", "r3"]
    row = next(line.split() for line in done.stderr.splitlines() if line.startswith("s "))
    assert row[:5] == ["s", "4", "50.0", "75.0", "+25.0"] and row[-3:] == ["2", "1", "1"]


def test_several_runs_are_one_table_with_half_widths_of_their_intervals(run, tmp_path):
    before = [answered(at, "B" if at < 2 else "A") for at in range(4)]
    after = [{**answered(at, "B"), "source": "s" if at < 2 else "t"} for at in range(4)]
    line = "qvl eval score {0}.jsonl --report {0}.json -o {0}.zst"
    for name in "ab":
        assert run(line.format(name), a=before, b=after).returncode == 0
    done = run("qvl eval summary a.json late=b.json")
    rows = [line.split("  ") for line in done.stdout.splitlines()]
    assert [[cell.strip() for cell in row if cell] for row in rows] == [
        ["accuracy, %", "a", "late"],
        ["s", "50.0 ±35.0", "100.0 ±32.9"],
        ["t", "-", "100.0 ±32.9"],
        ["all", "50.0 ±35.0", "100.0 ±24.5"],
    ]
    for words, reason in (
        ("a.json a.json", "a second column 'a'"),
        ("a.jsonl", "not the report of an evaluation"),
        ("nope", "No such file"),
    ):
        done = run(f"qvl eval summary {words}")
        assert done.returncode == 2 and reason in done.stderr


def test_reports_of_one_name_are_one_column_without_a_whole(run):
    first = [{**answered(at, "B"), "source": "s"} for at in range(2)]
    second = [{**answered(at, "A"), "source": "t"} for at in range(2)]
    for name in "ab":
        line = f"qvl eval score {name}.jsonl --report {name}.json -o {name}.zst"
        assert run(line, a=first, b=second).returncode == 0
    done = run("qvl eval summary both=a.json both=b.json a.json")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows[1:3]] == [["s", "100.0"], ["t", "0.0"]]
    assert rows[3][:3] == ["all", "-", "100.0"]
    done = run("qvl eval summary both=a.json both=a.json")
    assert done.returncode == 2 and "its column has s already" in done.stderr


def test_tokens_and_the_penalties_that_apply_are_tables_of_their_own(run):
    mixing = "So 答案应该是 B, 因为 that is what 我们 can see.\nB"
    rows = [answered(0, mixing), answered(1, "B")]
    for row in rows:
        row["messages"] = [{"role": "user", "content": "Which letter is the answer, please?"}]
        row["responses"][0]["num_tokens"] = 3
    line = "qvl eval score a.jsonl --penalty language --penalty format --report a.json -o a.zst"
    done = run(line, a=rows)
    assert done.returncode == 0 and "language" in done.stderr
    tables = run("qvl eval summary a.json").stdout.split("\n\n")
    assert [table.split("  ")[0] for table in tables] == [
        "accuracy, %",
        "tokens per response",
        "penalty for language, %",
    ]
    assert "50.0 ±" in tables[2] and "3.0" in tables[1]
    assert run("qvl eval score a.jsonl --penalty nonsense", a=rows).returncode == 2


def test_a_copy_is_loaded_answered_and_scored_in_one_pipe(run, tmp_path):
    (tmp_path / "copy.tsv").write_text("index\tquestion\tA\tB\tanswer\n1\tBarks?\tcat\tdog\tB\n")
    with FakeEndpoint(lambda body, attempt: completion("B")) as fake:
        done = run(
            f"qvl eval load mmstar copy.tsv | qvl eval --endpoint {fake.url} --preset instruct "
            "--num-samples 2 --pass-at 2 --report r.json -o out.zst"
        )
    assert done.returncode == 0, done.stderr
    assert "mmstar: accuracy 100.0, pass@2 100.0" in done.stderr
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["groups"][0]["prompt_hash"] and report["config"]["sampling"]["top_p"] == 0.8
    assert [each["sampling"]["temperature"] for each in read(tmp_path / "out.zst")[0]["responses"]]


def test_without_a_benchmark_the_names_are_told(run):
    done = run("qvl eval load")
    assert done.returncode == 2 and "there are aime25, blink" in done.stderr
    done = run("qvl eval load --list ifeval")
    assert done.returncode == 0 and "strict accuracy of prompts" in done.stdout
