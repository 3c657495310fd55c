import orjson


def test_the_table_is_plain_text(sh):
    done = sh("qvl stats records.jsonl.zst")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["records", "10"] in lines
    assert ["image", "4", "40.0%"] in lines
    assert ["math", "2", "20.0%"] in lines
    assert ["with", "reasoning", "1", "10.0%"] in lines
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_the_object_is_for_programs(sh):
    facts = orjson.loads(
        sh("qvl stats --json --by task --by 'len(messages)' records.jsonl.zst").stdout
    )
    assert facts["records"] == 10
    assert facts["by"]["len(messages)"] == {"2": 8, "3": 1, "4": 1}
    assert facts["sizes"]["turns a record"]["max"] == 4
    assert facts["sizes"]["turns a record"]["p50"] == 2
    assert facts["having"] == {"answer": 7, "images": 4, "reasoning": 1}


def test_an_empty_stream_has_stats(sh):
    done = sh(": > empty.jsonl; qvl stats empty.jsonl")
    assert done.returncode == 0
    assert ["records", "0"] in [line.split() for line in done.stdout.splitlines()]


def test_text_of_a_record_cannot_control_the_terminal(sh):
    done = sh(r"""echo '{"id":"a","task":"\u001b[31mred\n"}' | qvl stats""")
    assert "\x1b" not in done.stdout
    assert "?[31mred?" in done.stdout


def test_a_wrong_expression_names_the_flag(sh):
    done = sh("qvl stats --by 'task ==' records.jsonl.zst")
    assert done.returncode == 2
    assert "--by: column 8" in done.stderr
