from qvl.pack.token_classes import classes


def test_the_class_of_each_token_but_the_first():
    special = {9: "<|image_pad|>", 7: "<tool_call>", 8: "</tool_call>"}
    assert classes([1, 2, 9, 9, 3, 7, 4, 8, 5], special) == [
        *("text", "special", "special", "after-image"),
        *("special", "tool", "special", "after-image"),
    ]
