"""What was used last is kept, within a size."""

from qvl.recent import Recent


def test_what_was_used_longest_ago_is_forgotten_first():
    recent: Recent[str, bytes] = Recent(10, len)
    assert recent.keep("a", b"1234") == recent.keep("b", b"1234") == []
    assert recent.get("a") == b"1234"
    assert recent.keep("c", b"1234") == [b"1234"]
    assert [key in recent for key in "abc"] == [True, False, True]
    assert recent.get("b") is None


def test_a_value_takes_the_place_of_the_keys_former_one():
    recent: Recent[str, bytes] = Recent(10, len)
    recent.keep("a", b"12345678")
    assert recent.keep("a", b"123") == [b"12345678"]
    assert recent.keep("b", b"1234567") == []
    assert (recent.get("a"), len(recent)) == (b"123", 2)


def test_what_is_too_large_alone_is_not_taken_and_displaces_nothing():
    recent: Recent[str, bytes] = Recent(10, len)
    recent.keep("a", b"1234")
    assert recent.keep("b", b"x" * 11) == []
    assert "b" not in recent and "a" in recent


def test_after_clear_there_is_room_for_all():
    recent: Recent[str, bytes] = Recent(10, len)
    recent.keep("a", b"1234567890")
    recent.clear()
    assert len(recent) == 0 and recent.keep("b", b"1234567890") == []
