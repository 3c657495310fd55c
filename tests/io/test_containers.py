"""What an input is, told by its first bytes; and what an output is, told by its name."""

import bz2
import gzip

import pytest

from qvl.io import compressed

ROWS = b"".join(b'{"id":"%d","text":"%s"}\n' % (n, b"word %d " % n * 50) for n in range(3000))
PACK = {"gz": gzip.compress, "bz2": bz2.compress}


@pytest.mark.parametrize("kind", PACK)
def test_a_gzip_or_bzip2_file_is_read_whatever_its_name(sh, tmp_path, kind):
    (tmp_path / "in.zst").write_bytes(PACK[kind](ROWS[:1000]) + PACK[kind](ROWS[1000:]))
    (tmp_path / "rows").write_bytes(ROWS)
    assert sh("qvl cat in.zst | zstdcat | cmp - rows").returncode == 0
    assert sh("qvl cat < in.zst | zstdcat | cmp - rows").returncode == 0


@pytest.mark.parametrize("kind", PACK)
@pytest.mark.parametrize("damage", ["cut", "corrupt"])
def test_a_cut_or_corrupt_one_is_an_error_and_recover_keeps_what_is_whole(
    sh, tmp_path, kind, damage
):
    data = bytearray(PACK[kind](ROWS * 4))
    data[-6] ^= 0xFF
    (tmp_path / "in").write_bytes(data if damage == "corrupt" else data[: len(data) // 2])
    done = sh("qvl cat in -o out.zst")
    assert done.returncode == 2
    assert f"in: {'cut short' if damage == 'cut' else 'corrupt'} after record " in done.stderr
    done = sh("qvl recover in --plain | wc -l")
    assert int(done.stdout) > (11_000 if damage == "corrupt" and kind == "gz" else 1_000)


@pytest.mark.parametrize("kind", PACK)
def test_a_small_file_that_holds_much_is_decoded_in_pieces(kind):
    data = PACK[kind](bytes(20_000_000) + b"x")
    decode = compressed.decoder(data[:4], "in")
    assert decode
    pieces = [
        len(piece)
        for piece in decode([data[at : at + 1000] for at in range(0, len(data), 1000)], None)
    ]
    assert sum(pieces) == 20_000_001
    assert max(pieces) <= compressed.PIECE


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1\x15\x04", "in: a parquet file; qvl convert --from hf-parquet"),
        (b"\xfd7zXZ\0", "in: compressed with xz"),
        (b"PK\x03\x04\x14", "in: a zip archive"),
        (b'[\n  {"id": "a"}\n]\n', "jq -c '.[]'"),
        (b'[{"id":"a"},{"id":"b"}]\n', "jq -c '.[]'"),
        (b"\x89PNG\r\n\x1a\n", "in: a PNG image"),
    ],
)
def test_the_error_of_another_kind_of_file_names_it(sh, tmp_path, content, said):
    (tmp_path / "in").write_bytes(content)
    done = sh("qvl cat in -o out.zst")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_the_name_of_an_output_decides_whether_it_is_plain(sh, tmp_path):
    done = sh("qvl select 'task == \"math\"' records.jsonl.zst -o o.jsonl --rejects r.zst")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "o.jsonl").read_bytes().startswith(b'{"id"')
    assert (tmp_path / "r.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    sh("qvl split --records 5 records.jsonl.zst -o 'p{}.json'")
    assert (tmp_path / "p00001.json").read_bytes().startswith(b'{"id"')


def test_plain_stays_a_flag_and_a_variable(sh, tmp_path):
    sh("qvl cat --plain records.jsonl.zst -o a.zst; QVL_PLAIN=1 qvl cat records.jsonl.zst -o b.zst")
    for name in ("a.zst", "b.zst"):
        assert (tmp_path / name).read_bytes().startswith(b'{"id"')
