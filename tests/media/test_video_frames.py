"""The sampled frames of a video, compared with qwen-vl-utils, and their patches."""

import base64
import io
import json
import random
import subprocess
import sys

import av
import fuzzed
import numpy as np
import pytest
import torch
import videos
from PIL import Image

from qvl.errors import UserError
from qvl.media import patches, video, video_patches
from qvl.media.errors import MediaError
from qvl.media.patches import ImageRules

# qwen-vl-utils imports torchvision, whose build for a CPU no registry has; what chooses frames does
# not use it. In a process of its own, where a module of that name stands in for the import.
QWEN = """
import json, sys
from unittest import mock
class Vision(mock.MagicMock):
    __version__ = "0.28.0"
names = ("torchvision", "torchvision.io", "torchvision.transforms")
sys.modules |= {name: Vision() for name in names}
import torch
from qwen_vl_utils.vision_process import smart_nframes
out = []
for total, fps in json.load(sys.stdin):
    try:
        count = smart_nframes({}, total_frames=total, video_fps=fps)
        out.append(torch.linspace(0, total - 1, count).round().long().tolist())
    except ValueError:
        out.append(None)
json.dump(out, sys.stdout)
"""
FPS = (0.5, 1, 2, 3, 7.5, 10, 12, 23.976, 24, 25, 29.97, 30, 60)


def choose(total, fps):
    try:
        return video.choose(total, fps)
    except ValueError:
        return None


def test_the_frames_are_those_that_qwen_vl_utils_takes():
    cases = [(total, fps) for total in [*range(1, 200), 997, 5000, 40000] for fps in FPS]
    done = subprocess.run(
        [sys.executable, "-c", QWEN], input=json.dumps(cases), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    for case, theirs in zip(cases, json.loads(done.stdout), strict=True):
        assert choose(*case) == theirs, case


def test_a_file_gives_its_frames_and_their_times(tmp_path):
    videos.write(tmp_path / "a.mp4", 30, fps=10)
    clip = video.read("a.mp4", tmp_path)
    assert clip.indices == [0, 6, 12, 17, 23, 29]
    assert clip.seconds == [0, 0.6, 1.2, 1.7, 2.3, 2.9]
    with av.open(str(tmp_path / "a.mp4")) as file:
        every = [each.to_ndarray(format="rgb24") for each in file.decode(video=0)]
    assert (clip.frames == np.stack([every[i] for i in clip.indices])).all()
    difference = np.abs(clip.frames[3].astype(int) - videos.frame(17))
    assert difference.mean() < 20  # what is lost in the encoding, and no more


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_the_bytes_decide_the_kind_of_file(tmp_path, name):
    content = videos.write(tmp_path / name, 12).read_bytes()
    (tmp_path / "noname").write_bytes(content)
    wanted = video.read(name, tmp_path)
    uri = f"data:video/x;base64,{base64.b64encode(content).decode()}"
    for reference in ("noname", uri):
        found = video.read(reference, tmp_path)
        assert (found.indices, found.fps) == (wanted.indices, wanted.fps)
        assert (found.frames == wanted.frames).all()


def test_frames_are_a_list_or_a_folder_or_one_uri_and_come_in_pairs(tmp_path):
    (tmp_path / "clip").mkdir()
    names = [f"clip/{i:03}.png" for i in range(5)]
    for i, name in enumerate(names):
        Image.fromarray(videos.frame(i)).save(tmp_path / name)
    (tmp_path / "clip" / "notes.txt").write_text("no frame")
    uri = video.FRAMES_URI + ",".join(
        base64.b64encode((tmp_path / name).read_bytes()).decode() for name in names
    )
    for reference in (names, "clip", "clip/", uri):
        clip = video.read(reference, tmp_path)
        assert clip.seconds == [0, 0.5, 1, 1.5, 2, 2.5]
        assert (clip.frames == np.stack([videos.frame(min(i, 4)) for i in range(6)])).all()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda good: good[: len(good) // 2], "video bad: "),
        (lambda good: b"no video at all", "video bad: "),
        (lambda good: b"", "video bad: "),
    ],
)
def test_a_file_that_is_not_a_video_is_one_line(tmp_path, content, words):
    good = videos.write(tmp_path / "a.mp4", 30).read_bytes()
    (tmp_path / "bad").write_bytes(content(good))
    with pytest.raises(UserError, match=words) as error:
        video.read("bad", tmp_path)
    assert "\n" not in str(error.value)


def test_what_cannot_be_a_clip_is_named(tmp_path):
    videos.write(tmp_path / "one.mp4", 1)
    (tmp_path / "empty").mkdir()
    for i, size in enumerate([(64, 64), (64, 32)]):
        Image.new("RGB", size).save(tmp_path / f"{i}.png")
    for reference, words in (
        ("one.mp4", "1 frames; at least 2 are needed"),
        ("empty", "the folder has no images"),
        (["0.png", "1.png"], "different sizes, 64x32 and 64x64"),
        ([], "without frames"),
        (["0.png", "../x.png"], "leaves the media root"),
        ("../x.mp4", "leaves the media root"),
        ("http://h/x.mp4", "remote"),
        ("absent.mp4", "No such file"),
    ):
        with pytest.raises(UserError, match=words):
            video.read(reference, tmp_path)


def test_a_still_clip_has_the_patches_of_its_image(twin):
    rules = video_patches.load_rules(twin)
    image = Image.fromarray(videos.frame(0, 128, 96))
    clip = video.Clip(np.stack([np.asarray(image)] * 4), [0, 1, 2, 3], 2.0)
    found, grid = rules.patches(clip)
    wanted, (_, rows, columns) = patches.load_rules(twin).patches(image)
    assert grid == (2, rows, columns)
    assert np.allclose(found, np.concatenate([wanted, wanted]), atol=1e-6)


def test_the_marks_have_the_middle_time_of_each_pair(twin):
    rules = video_patches.load_rules(twin)
    clip = video.Clip(np.zeros((5, 32, 64, 3), np.uint8), [0, 6, 12, 17, 29], 10.0)
    marks = rules.marks(clip, rules.patches(clip)[1])
    one = "<|vision_start|><|video_pad|><|video_pad|><|vision_end|>"
    assert marks == f"<0.3 seconds>{one}<1.4 seconds>{one}<2.9 seconds>{one}"


def test_the_pixel_limits_hold_for_all_frames_together():
    def rules(least, most):
        return video_patches.VideoRules(
            ImageRules(
                patch_size=16,
                merge_size=2,
                temporal_patch_size=2,
                min_pixels=least,
                max_pixels=most,
                mean=(0.5,) * 3,
                std=(0.5,) * 3,
            )
        )

    side = 32 * 32
    assert rules(0, 8 * side).grid(8, 320, 320) == (4, 2, 2)
    assert rules(8 * 25 * side, 1 << 30).grid(8, 64, 64) == (4, 10, 10)
    assert rules(0, 1 << 30).grid(3, 48, 16) == (2, 2, 6)
    with pytest.raises(ValueError, match="thinner"):
        rules(0, 1 << 30).grid(4, 32, 32 * 300)


def test_the_resizing_is_that_of_whole_tensors(twin):
    """A frame by itself is resized as it is among others."""
    rules = video_patches.load_rules(twin)
    frames = np.stack([videos.frame(i, 100, 70, seed=i) for i in range(4)])
    together, (pairs, rows, columns) = rules.patches(video.Clip(frames, [0, 1, 2, 3], 2.0))
    alone = [rules.patches(video.Clip(frames[i : i + 2], [0, 1], 2.0))[0] for i in (0, 2)]
    assert (pairs, rows, columns) == (2, 4, 6)
    assert torch.equal(torch.from_numpy(together), torch.from_numpy(np.concatenate(alone)))


@pytest.mark.parametrize(("width", "height", "count"), [(96, 64, 30), (131, 77, 9), (20, 300, 6)])
def test_frames_that_are_fitted_as_they_come_give_the_same_patches(
    tmp_path, twin, width, height, count
):
    rules = video_patches.load_rules(twin)
    videos.write(tmp_path / "a.mkv", count, width=width // 2 * 2, height=height // 2 * 2)
    kept = video.read("a.mkv", tmp_path)
    fitted = video.read("a.mkv", tmp_path, fit=rules.fit)
    assert (fitted.size, fitted.indices) == (kept.size, kept.indices)
    (one, grid), (other, same) = rules.patches(kept), rules.patches(fitted)
    assert grid == same and (one == other).all()
    assert video.read("a.mkv", tmp_path, fit=video.unseen).frames.size == 0


def test_only_files_of_video_are_opened_as_such(tmp_path):
    sdp = (
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
        b"m=video 5004 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    )
    videos.write(tmp_path / "a.mp4", 6)
    playlist = b"ffconcat version 1.0\nfile 'a.mp4'\n"
    stream = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:a.mp4\n#EXT-X-ENDLIST\n"
    for content in (sdp, playlist, stream):
        with av.open(io.BytesIO(sdp)) as file:
            assert file.format.name == "sdp"  # which would bind a socket and wait for packets
        with pytest.raises(MediaError, match="video x: "):
            video.decode(content, "x")


def test_a_large_clip_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    content = videos.write(tmp_path / "a.mp4", 6).read_bytes()
    monkeypatch.setattr(video, "MAX_BYTES", 4 * 96 * 64 * 3 - 1)
    with pytest.raises(MediaError, match="4 frames of 96x64: more than 0 MiB"):
        video.decode(content, "x")
    assert len(video.decode(content, "x", video.unseen).frames) == 4
    monkeypatch.setattr(video, "MAX_FRAME_PIXELS", 96 * 64 - 1)
    with pytest.raises(MediaError, match="96x64: more than 6,143 pixels per frame"):
        video.decode(content, "x", video.unseen)
    names = [f"{i}.png" for i in range(769)]  # none of which exists
    with pytest.raises(MediaError, match=r"0\.png.*769 images, at most 768 are a video"):
        video.read(names, tmp_path)


def test_a_fuzzed_video_is_frames_or_one_line():
    choose = random.Random(23)
    for _ in range(150):
        content = fuzzed.mutated(choose.choice(fuzzed.video_files()), choose)
        try:
            video.decode(content, "x", video.unseen)
        except MediaError as error:
            assert "\n" not in str(error)
