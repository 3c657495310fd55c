"""The tokens of a record are those that qvl pack trains on."""

from qvl.pack.measure import Tokens, measure, of_pack
from qvl.pack.packed import Sample, join
from qvl.pack.render import Renderer


def test_the_tokens_of_a_record_are_those_of_its_rendering(twin, media):
    content = [
        {"type": "image", "image": "wide.png"},
        {"type": "image", "image": "small.png"},
        {"type": "text", "text": "Which is wider?"},
    ]
    answer = {"role": "assistant", "content": "the first"}
    record = {"id": "a", "messages": [{"role": "user", "content": content}, answer]}
    video = {"type": "video", "video": ["small.png"] * 4}
    seen = {"id": "b", "messages": [{"role": "user", "content": [video]}, answer]}
    counts, render = measure(twin, media), Renderer(twin, media_root=media)
    for one in (record, seen):
        found, sample = counts.tokens(one), render(one)
        assert isinstance(found, Tokens) and isinstance(sample, Sample)
        assert found.total == len(sample.ids)
        grids = [frames * rows * columns // 4 for frames, rows, columns in sample.grids]
        assert (found.image, found.video) == ((sum(grids), 0) if one is record else (0, sum(grids)))
        assert of_pack(join("p", [sample])) == (len(sample.ids), found.image, found.video)
