"""filter-queries, filter-responses and score-responses through a shell."""

import orjson

from qvl.io import jsonl

PIPE = (
    "qvl filter-queries records.jsonl.zst | qvl filter-responses | qvl score-responses -o out.zst"
)


def test_the_three_in_a_pipe_keep_the_valid_samples_in_order(sh, tmp_path):
    done = sh(PIPE)
    assert done.returncode == 0, done.stderr
    before = list(jsonl.read(str(tmp_path / "records.jsonl.zst")))
    after = list(jsonl.read(str(tmp_path / "out.zst")))
    assert [{k: v for k, v in record.items() if k != "scores"} for record in after] == before
    assert all("completeness" in record["scores"]["score-responses"] for record in after)


def test_lineage_has_thresholds_and_reasons(sh, tmp_path):
    line = '{"id":"a","messages":[{"role":"user","content":"hi"}]}'
    done = sh(
        f"echo '{line}' | qvl filter-queries --max-chars 77 -o out.zst && qvl lineage out.zst"
    )
    assert done.returncode == 0, done.stderr
    assert "77" in done.stdout
    assert "no-substance" in done.stdout


def test_the_report_counts_responses(sh, tmp_path):
    record = {
        "id": "a",
        "messages": [{"role": "user", "content": "What is 8 + 9?"}],
        "responses": [{"content": "17"}, {"content": ""}],
    }
    (tmp_path / "in.jsonl").write_bytes(orjson.dumps(record))
    done = sh("qvl filter-responses in.jsonl --report report.json -o out.zst")
    assert done.returncode == 0, done.stderr
    notes = orjson.loads((tmp_path / "report.json").read_bytes())["notes"]
    assert notes == {"responses_kept": 1, "responses_dropped": 1, "responses_empty": 1}


def test_a_bad_line_goes_to_the_rejects(sh, tmp_path):
    for command in ("filter-queries", "filter-responses", "score-responses"):
        (tmp_path / "in.jsonl").write_text('{"id":\n')
        done = sh(f"qvl {command} in.jsonl --on-error reject --rejects bad.zst -o out.zst")
        assert done.returncode == 0, done.stderr
        (bad,) = jsonl.read(str(tmp_path / "bad.zst"))
        assert bad["reject"]["stage"] == command
