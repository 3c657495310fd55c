"""Lines by number, in memory or in the scratch file."""

import random
import threading

import pytest

from qvl.view.store import Store, decompressed


def lines(count: int) -> list[bytes]:
    rng = random.Random(count)
    return [
        b"%d %s\n" % (n, rng.randbytes(rng.choice([0, 9, 400])).hex().encode())
        for n in range(count)
    ]


@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_every_line_comes_back_whatever_the_block(block):
    written, store = lines(300), Store(block)
    for number, line in enumerate(written):
        store.append(line)
        assert len(store) == number + 1
        assert store[number] == line
    assert [store[number] for number in range(300)] == written
    store.flush()
    blocks = [store.compressed(index) for index in range(store.num_blocks)]
    assert b"".join(decompressed(frame) for _, frame in blocks) == b"".join(written)
    assert [first for first, _ in blocks] == [
        0,
        *[store.end(index) for index in range(store.num_blocks - 1)],
    ]
    with pytest.raises(IndexError):
        store[300]


def test_lines_are_read_while_others_are_written():
    written, store, wrong = lines(3000), Store(200), []

    def read():
        rng = random.Random(1)
        while len(store) < len(written):
            count = len(store)
            if count:
                number = rng.randrange(count)
                if store[number] != written[number]:
                    wrong.append(number)

    reader = threading.Thread(target=read)
    reader.start()
    for line in written:
        store.append(line)
    reader.join(60)
    assert wrong == []
