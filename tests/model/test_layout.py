"""How a layout is parsed, and which are refused."""

from dataclasses import replace

import pytest

from qvl.errors import UserError
from qvl.model.layout import parse_layout
from qvl.model.shape import load_shape


def test_sizes_default_to_one():
    layout = parse_layout("tp=2,pp=3")
    assert (layout.tensor, layout.pipeline, layout.context, layout.expert) == (2, 3, 1, 1)
    assert parse_layout("") == parse_layout("tp=1")


def test_sequence_parallel_can_be_switched_off():
    assert parse_layout("tp=2") != parse_layout("tp=2,sp=0")


@pytest.mark.parametrize(
    "text", ["tp", "tp=", "tp=0", "tp=-1", "dp=2", "tp=2;pp=2", "sp=2", "tp=a"]
)
def test_an_invalid_layout_is_refused_in_one_line(text):
    with pytest.raises(UserError, match="is not tp="):
        parse_layout(text)


@pytest.mark.parametrize(
    ("layers", "layout", "stages"),
    [
        (3, "", [3]),
        (3, "pp=2", [3, 0]),
        (9, "pp=2", [3, 6]),
        (24, "pp=4", [3, 7, 7, 7]),
        (24, "pp=2,vp=2", [3, 7, 7, 7]),
        (4, "pp=4", [3, 1, 0, 0]),  # refused
    ],
)
def test_the_first_stage_holds_what_deepstack_feeds_and_the_last_may_have_no_layer(
    twin, layers, layout, stages
):
    shape = load_shape(twin)
    vision = replace(shape.vision, deepstack_layers=(5, 11, 17))
    shape = replace(shape, layers=layers, vision=vision)
    assert parse_layout(layout).stages(shape) == stages


@pytest.mark.parametrize(
    ("layout", "packs", "idle"),
    [("", 8, 0), ("pp=8", 8, 7 / 15), ("pp=4,vp=2", 8, 3 / 19), ("tp=2,cp=2", 1, 0)],
)
def test_the_idle_share_of_a_pipeline_is_its_bubble(layout, packs, idle):
    assert parse_layout(layout).idle(packs) == pytest.approx(idle)


def test_only_the_stages_of_a_pipeline_are_interleaved(twin):
    with pytest.raises(UserError, match="vp=2 divides the stages of a pipeline, but pp is 1"):
        parse_layout("vp=2").check(load_shape(twin), 2)
