"""Settings are written once, and checked before processes start."""

import ast
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from qvl import settings
from qvl.errors import UserError
from qvl.jobs.sft import SftSettings
from qvl.model.layout import parse_layout
from qvl.settings import check_batch, flat

PARTS = [
    settings.ModelSettings,
    settings.DataSettings,
    settings.Optimization,
    settings.Checkpointing,
    settings.Logging,
]


@pytest.mark.parametrize(
    ("batch", "layout", "ranks", "reason"),
    [
        (3, "", 2, "--batch 3: 2 ranks cannot share it evenly"),
        (6, "pp=2,vp=2", 2, "--batch 6: interleaved stages need a multiple of 4"),
    ],
)
def test_a_batch_that_ranks_cannot_share_is_refused(batch, layout, ranks, reason):
    with pytest.raises(UserError) as error:
        check_batch(batch, parse_layout(layout), ranks)
    assert str(error.value) == reason


def test_other_batches_are_taken():
    check_batch(6, parse_layout("pp=2"), 2)
    check_batch(8, parse_layout("pp=2,vp=2"), 2)


def test_no_setting_stands_in_two_parts_and_the_log_has_them_all():
    given = {"model": "m", "data": ("d",), "media_root": ".", "output": "o"}
    parts = {}
    for field, part in zip(fields(SftSettings), PARTS, strict=True):
        known = {each.name for each in fields(part)}
        parts[field.name] = part(**{k: v for k, v in given.items() if k in known})
    named = flat(SftSettings(**parts))
    assert len(named) == sum(len(fields(part)) for part in PARTS)
    assert named.items() >= given.items()


def test_a_flag_has_the_default_of_its_setting(command_module):
    """The command refers to it; None is a setting that is worked out later."""
    import inspect

    flags = inspect.signature(command_module("sft").command).parameters
    for part in PARTS:
        for each in fields(part):
            if each.name in flags and each.default not in (MISSING, (), None):
                assert flags[each.name].default == each.default, each.name


def test_every_setting_says_what_it_is():
    tree = ast.parse(Path(settings.__file__).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for one, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(one, ast.AnnAssign):
                    assert isinstance(after, ast.Expr), ast.unparse(one)
