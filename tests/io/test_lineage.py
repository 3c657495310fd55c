import orjson


def test_lineage_travels_through_pipes_and_files(sh):
    sh("qvl cat records.jsonl.zst | qvl cat --shard 1/2 -o half.zst")
    done = sh("cat half.zst records.jsonl.zst | qvl cat | qvl lineage --json")
    entries = [orjson.loads(line) for line in done.stdout.splitlines()]
    assert [(e["depth"], e["kept"]) for e in entries] == [(0, 15), (1, 5), (2, 10)]
    assert entries[1]["argv"] == ["cat", "--shard", "1/2", "-o", "half.zst"]


def test_lineage_counts_what_was_dropped_by_reason(sh, tmp_path):
    (tmp_path / "in.jsonl").write_text('{"id":"a"}\n[]\n')
    sh("qvl cat in.jsonl --on-error reject --rejects bad.zst -o good.zst")
    for name in ("good.zst", "bad.zst"):
        (entry,) = [orjson.loads(x) for x in sh(f"qvl lineage --json {name}").stdout.splitlines()]
        assert entry["rejected"] == {"not-an-object": 1}


def test_credentials_in_an_address_are_not_written(sh):
    sh("qvl cat records.jsonl.zst -o x.zst --report 'http://me:secret@host/r'")
    done = sh(
        "qvl cat records.jsonl.zst -o y.zst --report ./a//me:secret@b; strings y.zst | grep -c secret"
    )
    assert done.stdout in ("", "0\n")


def test_a_stream_without_lineage_says_so(sh):
    done = sh("zstdcat records.jsonl.zst | qvl lineage")
    assert done.returncode == 2
    assert "no lineage" in done.stderr
