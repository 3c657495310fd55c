import re

import orjson
import pytest


def lines(text: str) -> list[dict]:
    return [orjson.loads(line) for line in text.splitlines()]


def make(name: str, **tasks: int) -> str:
    """A file of records sorted by task: the hardest order to mix."""
    parts = [
        f'seq -f \'{{"id":"{task}-%.0f","task":"{task}","filler":"{"word " * 40}"}}\' {count}'
        for task, count in tasks.items()
    ]
    return f"({'; '.join(parts)}) > {name}"


def test_one_third_text_and_two_thirds_multimodal_is_the_default(sh):
    done = sh("qvl mix records.jsonl.zst --plain --rejects rest.jsonl")
    kinds = ["image" in str(record["messages"]) for record in lines(done.stdout)]
    assert kinds.count(True) == 4
    assert abs(kinds.count(False) - 2) < 2
    rest = lines(sh("cat rest.jsonl").stdout)
    assert [record["reject"]["reason"] for record in rest] == ["over-ratio"] * (10 - len(kinds))
    assert f"mixed text {kinds.count(False)}, multimodal 4" in done.stderr


def test_cold_start_is_one_to_one(sh):
    done = sh("qvl mix --ratio cold-start records.jsonl.zst -o out.zst")
    assert re.search("mixed text [45], multimodal 4,", done.stderr)


def test_the_ratio_holds_throughout_a_stream_that_is_sorted_by_bucket(sh):
    sh(make("in.jsonl", a=9000, b=3000, c=100))
    done = sh("qvl mix --by task --ratio a=3,b=1 --rejects rest.jsonl in.jsonl --plain")
    counts = {"a": 0, "b": 0}
    for number, record in enumerate(lines(done.stdout), 1):
        counts[record["task"]] += 1
        assert abs(counts["a"] - number * 3 / 4) < 2
    assert counts["a"] + counts["b"] > 11_990
    rest = lines(sh("cat rest.jsonl").stdout)
    assert len(rest) + sum(counts.values()) == 12_100
    assert [r["reject"]["reason"] for r in rest].count("no-bucket") == 100


def test_order_within_a_bucket_stays_and_the_seed_decides_the_rest(sh):
    sh(make("in.jsonl", a=500, b=500))
    mix = "qvl mix --by task --ratio a=1,b=1 in.jsonl --plain --seed"
    first, again, other = (sh(f"{mix} {seed}").stdout for seed in (1, 1, 2))
    assert first == again != other
    assert [r["id"] for r in lines(first) if r["task"] == "a"][:3] == ["a-1", "a-2", "a-3"]


def test_files_can_be_the_buckets(sh):
    sh(make("a.jsonl", a=300))
    sh(make("b.jsonl", b=200))
    done = sh("qvl mix --ratio 1,1 a.jsonl b.jsonl --rejects rest.jsonl --report r.json --plain")
    kept, rest = lines(done.stdout), lines(sh("cat rest.jsonl").stdout)
    assert len(kept) + len(rest) == 500
    assert 399 <= len(kept) <= 403
    report = orjson.loads(sh("cat r.json").stdout)
    assert {source["name"]: source["records"] for source in report["inputs"]} == {
        "a.jsonl": 300,
        "b.jsonl": 200,
    }


@pytest.mark.parametrize(
    "where", ["--by task --ratio a=1,b=1 in.jsonl", "--ratio 1,1 a.jsonl b.jsonl"]
)
def test_oversample_repeats_the_exhausted_bucket_with_new_ids(sh, where):
    sh(make("a.jsonl", a=3000) + ";" + make("b.jsonl", b=1000) + "; cat a.jsonl b.jsonl > in.jsonl")
    done = sh(f"qvl mix {where} --oversample 5 --plain")
    kept = lines(done.stdout)
    names = [record["id"] for record in kept]
    assert len(set(names)) == len(names) >= 5999
    assert "b-1-repeat2" in names
    assert {f"a-{n}" for n in range(1, 3001)} <= set(names)  # what was scarce is repeated, no other
    assert not any(name.startswith("a") and "repeat" in name for name in names)
    done = sh(f"qvl mix {where} --oversample 1 --plain --rejects rest.jsonl")
    new = [record for record in lines(done.stdout) if "repeat" not in record["id"]]
    assert len(new) + len(lines(sh("cat rest.jsonl").stdout)) == 4000


def test_every_batch_has_the_same_counts_by_largest_remainder(sh):
    sh(make("in.jsonl", a=500, b=300, c=90))
    mix = "qvl mix --by task --ratio a=4,b=2,c=1 --batch-size 10 in.jsonl --rejects rest.jsonl"
    done = sh(f"{mix} --plain --seed 1")
    kept, rest = lines(done.stdout), lines(sh("cat rest.jsonl").stdout)
    batches = [kept[start : start + 10] for start in range(0, len(kept), 10)]
    for batch in batches:  # 5.71, 2.86, 1.43
        tasks = [record["task"] for record in batch]
        assert [tasks.count(task) for task in "abc"] == [6, 3, 1]
    assert len(batches) == 500 // 6  # the first task to run out ends the mix with a full batch
    assert len({tuple(record["task"] for record in batch) for batch in batches}) > 10
    assert len(kept) + len(rest) == 890
    assert {record["reject"]["reason"] for record in rest} == {"over-ratio"}
    assert "mixed a 498, b 249, c 83" in done.stderr
    assert [r["id"] for r in kept if r["task"] == "c"] == [f"c-{n}" for n in range(1, 84)]
    assert sh(f"{mix} --plain --seed 1").stdout == done.stdout
    assert sh(f"{mix} --plain --seed 2").stdout != done.stdout


def test_batches_of_files_and_of_repeated_records(sh):
    sh(make("a.jsonl", a=30) + ";" + make("b.jsonl", b=7))
    done = sh("qvl mix --ratio 2,1 --batch-size 3 a.jsonl b.jsonl --oversample 2 --plain")
    kept = lines(done.stdout)
    assert len(kept) == 45 and "repeated 8" in done.stderr
    for start in range(0, 45, 3):
        assert sorted(record["task"] for record in kept[start : start + 3]) == ["a", "a", "b"]
    done = sh("qvl mix --ratio 2,1 --batch-size 3 a.jsonl b.jsonl --rejects rest.jsonl -o o.zst")
    expected = "37 read, 21 kept, 16 rejected (over-ratio 16), mixed a.jsonl 14, b.jsonl 7"
    assert expected in done.stderr


def test_a_share_without_a_place_in_a_batch_is_an_error(sh):
    done = sh("qvl mix --by task --ratio math=9,chat=1 --batch-size 4 records.jsonl.zst")
    assert done.returncode == 2
    assert "--batch-size 4: 'chat' has no place in a batch by --ratio" in done.stderr


def test_an_empty_bucket_is_an_error_that_lists_the_buckets(sh):
    done = sh("qvl mix --by task --ratio math=1,maths=1 records.jsonl.zst")
    assert done.returncode == 2
    assert "no record is 'maths'; by task there is math," in done.stderr
    done = sh("qvl mix --by modality records.jsonl.zst")
    assert "did you mean --by 'modality()'?" in done.stderr


def test_there_must_be_one_share_per_file(sh):
    done = sh("qvl mix --ratio 1,2 records.jsonl.zst")
    assert done.returncode == 2
    assert "2 shares for 1 file(s)" in done.stderr


def test_a_truncated_file_among_the_buckets_is_an_error(sh):
    done = sh(
        "head -c 300 records.jsonl.zst > cut.zst; qvl mix --ratio 1,1 records.jsonl.zst cut.zst -o o.zst"
    )
    assert done.returncode == 2
    assert "cut.zst: cut short" in done.stderr
    assert sh("ls o.zst").returncode != 0


def test_an_empty_stream_stays_empty(sh):
    done = sh(": > empty.jsonl; qvl mix empty.jsonl --plain")
    assert (done.returncode, done.stdout) == (0, "")


def test_records_wait_for_their_turn_on_disk(sh, tmp_path):
    """80 MB of records, all of one bucket before those of the other."""
    filler = "word " * 800
    with (tmp_path / "in.jsonl").open("wb") as file:
        for task in "ab":
            line = orjson.dumps({"id": "x", "task": task, "filler": filler}) + b"\n"
            file.write(line * 10_000)
    code = (
        "import resource, subprocess; subprocess.run(['qvl', 'mix', '--by', 'task', '--ratio',"
        " 'a=1,b=1', 'in.jsonl', '-o', 'o.zst'], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = sh(f'python -c "{code}"')
    assert int(done.stdout) < 100_000
    assert "mixed a 10,000, b 10,000" in done.stderr or "over-ratio" in done.stderr
