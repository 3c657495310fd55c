import random
import unicodedata

from qvl.curate.duplicates.dedup import joined
from qvl.curate.duplicates.hash_table import HashTable
from qvl.io.disk_list import DiskList


def test_it_finds_what_a_dict_of_lists_finds_in_the_same_order():
    draw = random.Random(0)
    table, known = HashTable(), {}
    for number in range(30_000):
        # A hash in eight occurs again; the first byte chooses the part, so few values make full ones.
        key = bytes([draw.randrange(3)]) + draw.randbytes(15)
        if known and draw.random() < 1 / 8:
            key = draw.choice(list(known)[:500])
        if draw.random() < 1 / 2:
            assert list(table.find(key)) == known.get(key, [])
        if draw.random() < 1 / 4:
            table.find(draw.randbytes(16))
        table.add(key, number)
        known.setdefault(key, []).append(number)
    assert all(list(table.find(key)) == numbers for key, numbers in known.items())


def test_a_hash_that_is_added_again_and_again_is_found_as_often():
    table, key = HashTable(), bytes(16)
    for number in range(100):
        table.add(key, number)
    assert table.find(bytes(16)) == list(range(100))


def test_it_takes_at_most_43_bytes_a_number():
    draw = random.Random(1)
    table = HashTable()
    for number in range(100_000):
        table.add(draw.randbytes(16), number)
    assert sum(16 * len(part) // 2 for part in table._tables) <= 43 * 100_000


def test_texts_on_disk_are_found_by_their_number_before_and_after_they_are_written():
    texts = [f"record {number} \u00e9" * (number % 7) for number in range(20_000)]
    kept = DiskList()
    for number, text in enumerate(texts):
        kept.append(text)
        assert kept[number] == text
    assert len(kept) == len(texts)
    assert [kept[number] for number in range(len(texts))] == texts


def test_white_space_is_joined_alike_by_the_short_way_and_the_long():
    draw = random.Random(2)
    letters = [
        *"ab \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x00\x7f",
        "  ",
        "     ",
        "\u00e9",
        "\u00a0",
        "\u2003",
    ]
    for _ in range(5000):
        text = "".join(draw.choices(letters, k=draw.randrange(8)))
        expected = " ".join(unicodedata.normalize("NFC", text).split()).encode()
        assert joined(text) == expected, repr(text)
