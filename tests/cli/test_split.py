import orjson
import pytest


def ids(sh, name: str) -> list[str]:
    done = sh(f"qvl cat --plain {name}")
    assert done.returncode == 0, done.stderr
    return [orjson.loads(line)["id"] for line in done.stdout.splitlines()]


def make(count: int) -> str:
    return f'seq -f \'{{"id":"r%.0f"}}\' {count} > in.jsonl'


def test_every_record_goes_to_one_part_and_the_ratio_holds_on_average(sh):
    sh(make(5000))
    done = sh("qvl split --ratio train=0.9,test=0.1 in.jsonl -o '{}.zst'")
    train, test = ids(sh, "train.zst"), ids(sh, "test.zst")
    assert sorted(train + test) == sorted(f"r{n}" for n in range(1, 5001))
    assert abs(len(test) - 500) < 5 * (5000 * 0.09) ** 0.5
    assert f"parts train {len(train):,}, test {len(test):,}" in done.stderr


def test_no_record_moves_when_others_are_added_and_the_seed_moves_them(sh):
    sh(make(3000))
    sh("head -1000 in.jsonl | qvl split --ratio a=1,b=1 -o 'few-{}.zst'")
    sh("tac in.jsonl | qvl split --ratio a=1,b=1 -o 'all-{}.zst'")
    sh("qvl split --ratio a=1,b=1 --seed 1 in.jsonl -o 'other-{}.zst'")
    few = ids(sh, "few-a.zst")
    assert set(few) <= set(ids(sh, "all-a.zst"))
    assert not set(few) <= set(ids(sh, "other-a.zst"))


def test_a_group_stays_together(sh):
    sh('seq 0 999 | awk \'{print "{\\"id\\":\\"r" $1 "\\",\\"group\\":" $1 % 50 "}"}\' > in.jsonl')
    sh("qvl split --ratio a=1,b=1 --by group in.jsonl -o '{}.zst'")
    a, b = ({int(name[1:]) % 50 for name in ids(sh, part)} for part in ("a.zst", "b.zst"))
    assert a & b == set()
    assert len(a | b) == 50


def test_parts_of_a_size_keep_the_order(sh):
    sh(make(10))
    assert sh("qvl split --records 4 in.jsonl -o 'p-{}.zst'").returncode == 0
    parts = [ids(sh, f"p-0000{n}.zst") for n in (1, 2, 3)]
    assert [len(part) for part in parts] == [4, 4, 2]
    assert [name for part in parts for name in part] == [f"r{n}" for n in range(1, 11)]


def test_each_value_can_be_a_part(sh):
    done = sh("qvl split --by task records.jsonl.zst -o 'task-{}.zst'")
    assert "parts math 2, ocr 2" in done.stderr
    assert ids(sh, "task-math.zst") == ["math-1", "math-2"]
    assert (
        sh("qvl split --by source records.jsonl.zst -o '{}.zst' && ls demo_add.zst").returncode == 0
    )


def test_a_record_without_the_key_is_rejected(sh):
    sh('echo \'{"id":"x"}\' >> in.jsonl')
    done = sh("qvl split --by task records.jsonl.zst in.jsonl --rejects r.jsonl -o '{}.zst'")
    assert "11 read, 10 kept, 1 rejected (no-key 1)" in done.stderr


def test_each_part_carries_the_lineage_with_its_own_count(sh):
    line = "qvl cat records.jsonl.zst | qvl split --records 4 -o 'p-{}.zst' && qvl lineage --json p-00003.zst"
    newest, before = [orjson.loads(entry) for entry in sh(line).stdout.splitlines()]
    assert (newest["command"], newest["read"], newest["kept"]) == ("split", 10, 2)
    assert before["command"] == "cat"


def test_all_parts_appear_or_none(sh, tmp_path):
    sh("zstdcat records.jsonl.zst > in.jsonl; echo 'not json' >> in.jsonl")
    for how in ("--records 2", "--by task", "--ratio a=1,b=1"):
        done = sh(f"qvl split {how} in.jsonl -o 'p-{{}}.zst'")
        assert done.returncode == 2
        assert "in.jsonl:11: not JSON" in done.stderr
        assert list(tmp_path.glob("p-*")) == []


def test_an_empty_part_is_a_complete_file(sh):
    sh("qvl split --ratio a=1000000,b=1 records.jsonl.zst -o '{}.zst'")
    assert ids(sh, "b.zst") == []


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("-o '{}.zst'", "give --ratio"),
        ("-o '{}.zst' --records 3 --by task", "give --ratio"),
        ("-o '{}.zst' --records 3 --ratio a=1,b=1", "give --ratio"),
        ("-o out.zst --records 3", "needs one {}"),
        ("-o '{}.zst' --ratio 1,2", "expected names"),
        ("-o '{}.zst' --by 'task ='", "--by: column 6"),
        ("-o '{}.zst' --by id --records 0", "--records"),
        ("-o 'absent/{}.zst' --records 3", "absent/00001.zst: No such file"),
    ],
)
def test_wrong_flags_are_one_line(sh, flags, why):
    done = sh(f"qvl split {flags} records.jsonl.zst")
    assert done.returncode == 2
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_values_never_share_a_file(sh):
    sh("""printf '{"id":"a","k":"x/y"}\\n{"id":"b","k":"x y"}\\n' > in.jsonl""")
    done = sh("qvl split --by k in.jsonl -o '{}.zst'")
    assert done.returncode == 2
    assert "would both be the file 'x_y'" in done.stderr


def test_too_many_parts_are_refused(sh, tmp_path):
    sh(make(600))
    done = sh("qvl split --by id in.jsonl -o 'p-{}.zst'")
    assert done.returncode == 2
    assert "over 500 parts" in done.stderr
    assert list(tmp_path.glob("p-*")) == []
