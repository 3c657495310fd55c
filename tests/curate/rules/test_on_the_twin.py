"""The rules against the defects that `qvl tiny data` plants: what they catch, and what they must not."""

from collections import Counter

import pytest

from qvl.io import jsonl

pytest.importorskip("PIL")
pytest.importorskip("sklearn")

BY_DEDUP = ("duplicate", "near-duplicate")  # another command's business
LEAST_CAUGHT = 0.95
MOST_LOST = 0.005


@pytest.fixture(scope="module")
def curated(tmp_path_factory):
    """id -> the reason for which a record of the raw set was dropped; id -> its defect; all ids."""
    folder = tmp_path_factory.mktemp("twin")
    from shells import shell

    done = shell(folder)(
        "qvl tiny data twin --train 2400 --test 50 --defect-share 0.25"
        " && qvl filter-queries twin/raw.jsonl.zst --rejects queries.zst"
        " | qvl filter-responses --rejects responses.zst -o kept.zst"
    )
    assert done.returncode == 0, done.stderr
    rejected = {
        record["id"]: record["reject"]["reason"]
        for name in ("queries.zst", "responses.zst")
        for record in jsonl.read(str(folder / name))
    }
    defects = {
        one["id"]: one["defect"] for one in jsonl.read(str(folder / "twin/defects.jsonl.zst"))
    }
    ids = [record["id"] for record in jsonl.read(str(folder / "twin/raw.jsonl.zst"))]
    kept = sum(1 for _ in jsonl.read(str(folder / "kept.zst")))
    assert kept + len(rejected) == len(ids)
    return rejected, defects, ids


def test_every_planted_defect_is_caught(curated):
    rejected, defects, _ = curated
    planted = Counter(defects.values())
    caught = Counter(kind for record, kind in defects.items() if record in rejected)
    recall = {kind: caught[kind] / n for kind, n in planted.items() if kind not in BY_DEDUP}
    assert len(recall) == 6
    assert min(planted.values()) >= 50
    assert min(recall.values()) >= LEAST_CAUGHT, recall


def test_sound_records_are_kept(curated):
    rejected, defects, ids = curated
    sound = [one for one in ids if defects.get(one, "duplicate") in BY_DEDUP]
    lost = Counter(rejected[one] for one in sound if one in rejected)
    assert lost.total() / len(sound) < MOST_LOST, lost


def test_the_reason_names_the_defect(curated):
    rejected, defects, _ = curated
    names = {
        "loop": "repetition",
        "mixed-language": "language-mixing",
        "wrong-answer": "wrong-answer",
    }
    for kind, reason in names.items():
        of = [
            rejected[one] for one, defect in defects.items() if defect == kind and one in rejected
        ]
        assert of.count(reason) / len(of) >= LEAST_CAUGHT, Counter(of)
