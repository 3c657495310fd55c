"""qvl rl prepare: from raw queries to batches."""

import orjson
import pytest


def lines(text: str) -> list[dict]:
    return [orjson.loads(line) for line in text.splitlines()]


def queries(tmp_path, name="in.jsonl", passed=None, **numbers):
    """Records `task-0` ...; `passed` says how many of 16 responses to each pass."""
    with (tmp_path / name).open("wb") as file:
        for task, number in numbers.items():
            for place in range(number):
                record = {
                    "id": f"{task}-{place}",
                    "task": task,
                    "answer": "4",
                    "source": f"set/{task}",
                    "messages": [{"role": "user", "content": f"What is {place} + 4 - {place}?"}],
                }
                if passed is not None:
                    rewards = [1.0] * passed(place) + [0.0] * (16 - passed(place))
                    record["responses"] = [{"content": "x", "reward": one} for one in rewards]
                file.write(orjson.dumps(record) + b"\n")


def test_the_three_runs_of_the_recipe(sh, tmp_path):
    queries(tmp_path, math=20, counting=20)
    first = sh("qvl rl prepare in.jsonl -o queries.zst")
    assert "40 read, 40 kept, prompts appended 40" in first.stderr
    queries(tmp_path, "policy.jsonl", lambda place: place % 17, math=20, counting=20)
    second = sh("qvl rl prepare queries.zst --policy policy.jsonl --rejects r.zst -o pool.zst")
    assert "36 kept, 4 rejected (too-easy 4)" in second.stderr
    assert "appended" not in second.stderr  # once
    third = sh("qvl rl prepare pool.zst --ratio math=1,counting=1 --batch-size 6 --plain")
    kept = lines(third.stdout)
    assert len(kept) == 36
    for start in range(0, 36, 6):
        tasks = [record["task"] for record in kept[start : start + 6]]
        assert tasks.count("math") == 3
    assert all(record["messages"][0]["content"].count("\n") == 1 for record in kept)
    assert [record["id"] for record in kept if record["task"] == "math"] != [
        f"math-{n}" for n in range(20) if n not in (15, 16)
    ]


def test_one_run_does_the_same_as_three(sh, tmp_path):
    queries(tmp_path, "strong.jsonl", lambda place: place % 17, math=20, counting=20)
    queries(tmp_path, "policy.jsonl", lambda place: (place + 1) % 17, math=20, counting=20)
    mix = "--ratio math=1,counting=1 --batch-size 4"
    at_once = sh(f"qvl rl prepare strong.jsonl --policy policy.jsonl {mix} --plain")
    in_turn = sh(
        "qvl rl prepare strong.jsonl | qvl rl prepare --policy policy.jsonl"
        f" | qvl rl prepare {mix} --plain"
    )
    assert lines(at_once.stdout) == lines(in_turn.stdout) != []


def test_nothing_is_lost_and_the_seed_decides_the_order(sh, tmp_path):
    queries(tmp_path, "strong.jsonl", lambda place: place % 17, math=50, counting=30, chat=5, ocr=5)
    line = (
        "qvl rl prepare strong.jsonl --all-wrong any --ratio math=2,counting=1 --batch-size 9 "
        "--plain --rejects r.jsonl --seed"
    )
    done = sh(f"{line} 1")
    kept, rest = lines(done.stdout), lines(sh("cat r.jsonl").stdout)
    names = [record["id"] for record in [*kept, *rest]]
    assert len(names) == len(set(names)) == 90
    reasons = {record["reject"]["reason"] for record in rest}
    assert reasons == {"all-wrong", "no-verifier", "no-bucket", "over-ratio"}
    assert all(record["reject"]["stage"] == "rl prepare" for record in rest)
    assert sh(f"{line} 1").stdout == done.stdout
    other = lines(sh(f"{line} 2").stdout)
    assert [record["id"] for record in other] != [record["id"] for record in kept]


def test_a_task_that_runs_out_ends_the_batches_or_is_repeated(sh, tmp_path):
    queries(tmp_path, math=30, counting=4)
    mix = "qvl rl prepare in.jsonl --ratio math=1,counting=1 --batch-size 4 --plain"
    assert len(lines(sh(mix).stdout)) == 8
    done = sh(f"{mix} --oversample 9")
    kept = lines(done.stdout)
    assert len(kept) == 60
    assert "counting-0-repeat3" in {record["id"] for record in kept}


def test_responses_to_a_question_without_the_prompt_are_counted(sh, tmp_path):
    queries(tmp_path, "strong.jsonl", lambda place: 4, math=3)
    assert "sampled before the prompt 3" in sh("qvl rl prepare strong.jsonl -o a.zst").stderr
    assert "prompt" not in sh("qvl rl prepare --no-format-prompts strong.jsonl -o a.zst").stderr


def test_the_lineage_has_every_stream_that_was_read(sh, tmp_path):
    queries(tmp_path, math=3)
    queries(tmp_path, "policy.jsonl", lambda place: 8, math=3)
    sh("qvl cat policy.jsonl -o policy.zst && qvl rl potential policy.zst -o potential.zst")
    sh("qvl rl prepare in.jsonl --policy policy.zst --potential potential.zst -o out.zst")
    message = sh("qvl lineage out.zst").stdout
    assert (
        "qvl cat policy.jsonl -o policy.zst" in message and "qvl rl potential policy.zst" in message
    )


def test_a_policy_can_come_from_a_pipe(sh, tmp_path):
    queries(tmp_path, math=3)
    queries(tmp_path, "policy.jsonl", lambda place: 8 * place, math=3)
    done = sh("qvl cat policy.jsonl | qvl rl prepare --policy - in.jsonl --plain")
    assert [record["id"] for record in lines(done.stdout)] == ["math-0", "math-1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("qvl rl prepare --policy - < records.jsonl.zst", "standard input is already read for FILE"),
        ("qvl rl prepare --policy none.zst records.jsonl.zst", "none.zst: No such file"),
        ("qvl rl prepare --oversample 2 records.jsonl.zst", "--oversample needs --ratio"),
        ("qvl rl prepare --verifier maths records.jsonl.zst", "--verifier maths: no such verifier"),
        ("qvl rl prepare --all-wrong text records.jsonl.zst", "expected multimodal, any, keep"),
        ("qvl rl prepare --format-prompts none records.jsonl.zst", "none: folder not found"),
        ("qvl rl prepare --ratio 1,2 records.jsonl.zst", "shares need names"),
        ("qvl rl prepare --ratio math=1,maths=1 records.jsonl.zst", "no record is 'maths'"),
        ("qvl rl prepare --ratio math=1,ocr=1 --batch-size 1 records.jsonl.zst", "has no place"),
        ("head -c 300 records.jsonl.zst > c.zst; qvl rl prepare --policy c.zst records.jsonl.zst", "cut"),
        ("qvl rl prepare --policy twice.jsonl records.jsonl.zst", "twice.jsonl:2: id 'a' was there"),
        ("qvl rl prepare --policy odd.jsonl records.jsonl.zst", "odd.jsonl:1: responses: expected a"),
        ("qvl rl potential odd.jsonl", "odd.jsonl:1: responses: expected a list"),
        ("echo '[]' | qvl rl prepare", "<stdin>:1: "),
        ("echo '{' | qvl rl potential --log", "<stdin>:1: "),
        ("qvl rl sapp", "no command 'rl sapp'"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(sh, line, message):
    sh(
        """printf '{"id":"a","responses":3,"messages":[{"role":"user","content":"x"}]}' > odd.jsonl"""
    )
    sh("""printf '{"id":"a","messages":[{"role":"user","content":"x"}]}\n%.0s' 1 2 > twice.jsonl""")
    done = sh(line)
    assert done.returncode == 2
    assert message in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_an_empty_stream_is_no_error(sh):
    sh(": > empty.jsonl")
    for line in (
        "qvl rl prepare empty.jsonl",
        "qvl rl prepare --policy empty.jsonl --ratio math=1 empty.jsonl",
        "qvl rl potential empty.jsonl",
        "qvl rl triggers empty.jsonl",
    ):
        done = sh(f"{line} --plain")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
