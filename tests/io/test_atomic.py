import os
import stat

import pytest

from qvl.io import atomic


def test_a_file_is_replaced_and_nothing_is_left_beside(tmp_path):
    (tmp_path / "x").write_text("old")
    atomic.write(tmp_path / "x", b"new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("x", "new")]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "x").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    atomic.write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "x").read_text() == "new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    atomic.write(tmp_path / "pipe", b"new")
    assert os.read(reader, 10) == b"new"
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    os.close(reader)


def test_where_it_cannot_be_written_nothing_is_left(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        atomic.write(tmp_path / "no" / "x", b"new")
    assert list(tmp_path.iterdir()) == []


def test_a_report_may_go_to_standard_output(sh):
    done = sh("qvl cat records.jsonl.zst -o x.zst --report /dev/stdout | jq -r .kept")
    assert (done.returncode, done.stdout) == (0, "10\n")
