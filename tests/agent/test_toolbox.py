"""Whatever a model calls and a tool does, there is an observation within its limits."""

import time

import pytest
from patience import PATIENCE
from PIL import Image

from qvl.agent.tools import MAX_CHARACTERS, MAX_IMAGES, ToolSettings, find
from qvl.agent.tools.pictures import Pictures
from qvl.agent.tools.self_test import SelfTest, cases, write_images
from qvl.agent.tools.toolbox import Toolbox
from qvl.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    write_images(folder)
    return folder


def toolbox(root, *names, **settings):
    return Toolbox(ToolSettings(names=names, **settings), root)


def text(observation):
    return "".join(each for each in observation.parts if isinstance(each, str))


def images(observation):
    return [each for each in observation.parts if isinstance(each, Image.Image)]


def zoomed(box, index=0, **more):
    return {"bbox_2d": box, "label": "it", "img_idx": index, **more}


def test_zoom_counts_the_users_images_and_refers_to_the_original(root):
    with toolbox(root, "image_zoom_in_tool") as box:
        context = box.context(["photo.png", "tall.png"])
        (crop,) = images(box("image_zoom_in_tool", zoomed([0, 0, 500, 500], 1), context))
        assert crop.height > 10 * crop.width  # of 40 x 900
        refused = box("image_zoom_in_tool", zoomed([0, 0, 500, 500], 2), context)
    assert refused.failed
    assert (
        text(refused)
        == "Error: Invalid input image: img_idx is 2, and the user sent 2, numbered from 0"
    )


def test_no_built_in_tool_fails_on_hostile_calls_and_images(root):
    settings = {"search_folder": str(root)}
    with toolbox(root, "image_zoom_in_tool", "image_search", **settings) as box:
        test = SelfTest(box)
        tried = [test(case) for name in box.schemas for case in cases(box, name, seed=1)]
    assert [each.problem for each in tried if each.problem] == []
    assert sum(not each.observation.failed for each in tried if each.observation) > 20
    assert test.slowest < PATIENCE


def test_code_runs_in_the_sandbox_and_says_how_it_ended(root):
    def run(code, seconds=60):
        with toolbox(root, "code_interpreter", seconds=seconds) as box:
            return text(box("code_interpreter", {"code": code}, box.context([])))

    assert run("print(6 * 7)") == "42"
    assert "ZeroDivisionError" in run("1 / 0")
    assert "Error: it took more than 1 s" in run("while True: pass", seconds=1)
    assert "No such file" in run(f"open({str(root / 'photo.png')!r})")
    assert run("x = 1") == "Finished; nothing was printed."


def test_search_finds_the_images_that_look_alike_and_tells_of_them(tmp_path):
    for name, colours in (
        ("sea", ("navy", "teal")),
        ("fire", ("red", "gold")),
        ("wood", ("green", "brown")),
    ):
        image = Image.new("RGB", (60, 60), colours[0])
        image.paste(colours[1], (0, 30, 60, 60))
        image.save(tmp_path / f"{name}.png")
    (tmp_path / "sea.txt").write_text("The sea\nTaken at noon.")
    Image.open(tmp_path / "sea.png").resize((200, 210)).save(tmp_path / "asked.jpg")
    with toolbox(tmp_path, "image_search", search_folder=str(tmp_path)) as box:
        found = box("image_search", {"img_idx": 0}, box.context(["asked.jpg"]))
    assert [each for each in found.parts if isinstance(each, str)][:2] == [
        '[1] "asked.jpg" asked',
        '[2] "sea.png" The sea\nTaken at noon.',
    ]
    assert images(found)[0].size == (200, 210)


def test_a_users_tool_sees_the_images_and_may_fail_in_any_way(root):
    names = "own_tools:mean_colour", "own_tools:misbehaves"
    with toolbox(root, *names, seconds=4, jobs=1) as box:
        context = box.context(["photo.png"])
        seen = box("mean_colour", {"img_idx": 0}, context)
        assert text(seen) == "The mean colour:"
        assert images(seen)[0].size == (32, 32)
        expected = {
            "hang": "no result within 4 s",
            "die": "its process ended with status 9",
            "crash": "ZeroDivisionError",
            "refuse": "Error: say please",
            "thin": "thinner than 1:200",
            "nothing": "it returned NoneType",
        }
        for how, words in expected.items():
            found = box("misbehaves", {"how": how}, context)
            assert found.failed and words in text(found), how
        flood = box("misbehaves", {"how": "flood"}, context)
        assert len(text(flood)) < MAX_CHARACTERS + 20
        assert len(box("misbehaves", {"how": "images"}, context).parts) == MAX_IMAGES + 1


def test_only_the_tools_of_the_episode_can_be_called(root):
    with toolbox(root, "image_zoom_in_tool", "own_tools:mean_colour") as box:
        found = box("mean_colour", {"img_idx": 0}, box.context([]), ["image_zoom_in_tool"])
    assert text(found) == "Error: there is no tool 'mean_colour'; tools: image_zoom_in_tool"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("zoom", "no such tool; known: image_zoom_in_tool"),
        ("own_tools:absent", "has no attribute"),
        ("own_tools:no_schema", "it has no schema"),
        ("image_search", "needs --search-folder"),
    ],
)
def test_a_tool_that_cannot_be_used_is_refused_at_the_start(root, name, message):
    with pytest.raises(UserError, match=message):
        toolbox(root, name)


def test_two_tools_of_one_name_are_refused(root):
    with pytest.raises(UserError, match="another tool is named image_zoom_in_tool"):
        toolbox(root, "image_zoom_in_tool", "qvl.agent.tools.zoom:call")


def test_decoded_images_are_kept_within_a_bound(root):
    pictures = Pictures(root, kept_bytes=3 * 640 * 480 + 1000)
    first = pictures("photo.png")
    assert pictures("photo.png") is first
    pictures("tall.png")
    assert pictures("photo.png") is not first


def test_the_schema_of_zoom_is_the_published_one():
    schema, _ = find("image_zoom_in_tool")
    parameters = schema["function"]["parameters"]
    assert parameters["required"] == ["bbox_2d", "label", "img_idx"]
    assert {name: each["type"] for name, each in parameters["properties"].items()} == {
        "bbox_2d": "array",
        "label": "string",
        "img_idx": "number",
    }


def test_a_hung_tool_leaves_the_next_call_a_new_process(root):
    with toolbox(root, "own_tools:misbehaves", seconds=3, jobs=1) as box:
        context = box.context([])
        began = time.monotonic()
        box("misbehaves", {"how": "hang"}, context)
        assert "say please" in text(box("misbehaves", {"how": "refuse"}, context))
        assert time.monotonic() - began < PATIENCE
