"""qvl reads at least as many of the labelled answers as each peer, in every style."""

from pathlib import Path

import choice_set

PAGE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_no_style_is_read_worse_than_by_a_peer_and_the_page_has_the_table():
    assert len(choice_set.answers()) == 300
    found = choice_set.right_by_style(choice_set.read)
    for counts in choice_set.PEERS.values():
        assert all(found[style] >= number for style, number in counts.items())
    assert choice_set.table() in PAGE.read_text()
