import orjson


def ids(text: str) -> list[str]:
    return [orjson.loads(line)["id"] for line in text.splitlines()]


def test_keeps_matching_records_and_rejects_the_rest(sh):
    done = sh("qvl select 'task == \"math\"' --plain --rejects rest.jsonl records.jsonl.zst")
    assert ids(done.stdout) == ["math-1", "math-2"]
    assert "10 read, 2 kept, 8 rejected (not-selected 8)" in done.stderr
    rest = [orjson.loads(line) for line in sh("cat rest.jsonl").stdout.splitlines()]
    assert len(rest) == 8
    assert rest[0]["reject"] == {"stage": "select", "reason": "not-selected"}


def test_is_a_filter_in_a_pipe(sh):
    line = "cat records.jsonl.zst | qvl select 'modality() == \"text\"' | qvl select 'has(answer)' --plain"
    assert ids(sh(line).stdout) == ["math-1", "math-2", "logic-1"]


def test_a_wrong_expression_is_one_line_with_the_column(sh):
    done = sh("qvl select 'task = 1' records.jsonl.zst")
    assert done.returncode == 2
    assert done.stderr == "qvl: error: EXPRESSION: column 6: '=' is written '==' here\n"


def test_comparisons_of_different_types_are_counted(sh):
    done = sh("qvl select 'answer > 3' records.jsonl.zst -o out.zst")
    assert "comparisons of unlike types 7" in done.stderr


def test_a_regex_bomb_names_the_record_or_rejects_it(sh):
    (bomb, aside) = ('matches(id, "^(a+)+$")', "--on-error reject --rejects bad.jsonl")
    sh(f"""printf '{{"id":"{"a" * 60}!"}}\\n{{"id":"aa"}}\\n' > in.jsonl""")
    done = sh(f"qvl select '{bomb}' in.jsonl")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "takes over 1 s" in done.stderr
    done = sh(f"qvl select '{bomb}' --plain {aside} in.jsonl")
    assert ids(done.stdout) == ["aa"]
    assert "slow-pattern 1" in done.stderr
