"""Videos in SGLang as in the other engines: qvl's frames, resized once, with the ids that were sent.

SGLang 0.5.21 samples other frames of a file (it truncates where all others round), resizes them to
multiples of 28 before its processor resizes them to multiples of 32, and does not accept frames as one
video. A prompt that is given as ids it tokenises again, which may change sampled tokens. Here Qwen3-VL's
videos take another path to its processor, which is transformers'.

The frames are chosen by qvl.media.video, which needs only NumPy, Pillow and, for files, PyAV.
"""

# pyright: reportMissingImports=false

import asyncio
import copy
import importlib.util
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

PROCESSOR = "sglang.srt.multimodal.processors.qwen_vl"
ROUTE = "/video_frames"  # by which qvl.engines.probe detects it
MODELS = ("qwen3_vl", "qwen3_vl_moe")


class SglangClip(NamedTuple):
    """The input of transformers' processor: a tuple, because SGLang's loader leaves tuples unchanged."""

    frames: Any
    """(T, 3, H, W) uint8 tensor"""
    metadata: dict[str, Any]


def register() -> None:
    """Register the hooks: before SGLang's plugins are loaded, in the process of the tokenizer."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    for name, hook in (
        ("preprocess_video", keep_frames),
        ("QwenVLImageProcessor._process_mm_data_uncached", load_clips),
        ("QwenVLImageProcessor.process_and_combine_mm_data", keep_ids),
    ):
        HookRegistry.register(f"{PROCESSOR}.{name}", hook, HookType.AROUND)


def are_registered() -> bool:
    """Whether SGLang applied the hooks; if it cannot, it logs that and goes on."""
    module = sys.modules.get(PROCESSOR)
    if module is None:
        return False
    kind = module.QwenVLImageProcessor
    hooked = (
        module.preprocess_video,
        kind._process_mm_data_uncached,
        kind.process_and_combine_mm_data,
    )
    return all(hasattr(each, "__wrapped__") for each in hooked)


async def frame_rules() -> dict[str, Any]:
    """The response of ROUTE: how frames are sampled."""
    video = qvl_video()
    return {
        "fps": video.FPS,
        "min_frames": video.MIN_FRAMES,
        "max_frames": video.MAX_FRAMES,
        "files": importlib.util.find_spec("av") is not None,
    }


def qvl_video() -> Any:
    """qvl.media.video of the qvl that started this engine."""
    from qvl_engine_media import qvl_module

    return qvl_module("qvl.media.video")


async def load_clips(
    process: Any,
    processor: Any,
    pictures: Any,
    prompt: Any,
    request: Any,
    /,
    *rest: Any,
    **named: Any,
) -> Any:
    """SGLang's preparation of a request, with loaded clips in place of its videos."""
    if request.video_data and processor.model_type in MODELS:
        loop = asyncio.get_running_loop()
        loading = [
            loop.run_in_executor(processor.io_executor, load, each) for each in request.video_data
        ]
        request = copy.copy(request)
        request.video_data = list(await asyncio.gather(*loading))
    return await process(processor, pictures, prompt, request, *rest, **named)


async def keep_frames(preprocess: Any, video: Any, /, *rest: Any, **named: Any) -> Any:
    """The frames of a loaded clip as they are: not sampled, not resized."""
    if isinstance(video, SglangClip):
        return video.frames, video.metadata
    return await preprocess(video, *rest, **named)


def load(given: Any) -> Any:
    """The clip of a request's video. ValueError, which SGLang answers with 400, if it cannot be read."""
    import torch

    if isinstance(given, (SglangClip, dict)):  # a dict was preprocessed before
        return given
    video = qvl_video()
    reference = getattr(given, "url", given)
    is_frames = isinstance(reference, str) and reference.startswith(video.FRAMES_URI)
    if not is_frames and importlib.util.find_spec("av") is None:
        raise ValueError(
            "video files need PyAV in SGLang's environment: qvl doctor --install sglang, or "
            "pip install av there"
        )
    try:
        if isinstance(reference, str) and reference.startswith("data:"):
            clip = video.read(reference, Path())
        else:
            from sglang.srt.utils.common import get_video_bytes

            clip = video.decode(get_video_bytes(reference), video.references.brief(str(reference)))
    except video.MediaError as error:
        raise ValueError(str(error)) from None
    metadata = {
        "fps": clip.fps,
        "total_num_frames": clip.indices[-1] + 1,
        "frames_indices": list(clip.indices),
        "video_backend": "qvl",
    }
    return SglangClip(torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous(), metadata)


def keep_ids(
    combine: Any, processor: Any, loaded: Any, tokens: Any, /, *rest: Any, **named: Any
) -> Any:
    """The output of transformers' processor; for a prompt with videos that was given as ids, with these
    ids expanded instead of their text tokenised again."""
    import torch

    items, ids, output = combine(processor, loaded, tokens, *rest, **named)
    metadata = named.get("video_metadata")
    if not metadata or loaded.input_ids is None or processor.model_type not in MODELS:
        return items, ids, output
    own = processor._processor
    size = own.video_processor.temporal_patch_size
    times = [
        own._calculate_timestamps(list(each["frames_indices"]), each["fps"], size)
        for each in metadata
    ]
    given, places, kinds = processor.build_input_ids_with_timestamps(
        list(loaded.input_ids), None, output.get("image_grid_thw"), output["video_grid_thw"], times
    )
    left: dict[Any, list] = defaultdict(list)
    for kind, place in zip(kinds, places, strict=True):
        left[kind].append(place)
    for item in items:  # an image has one place, a video one for each pair of frames
        own_places = left[item.modality]
        item.offsets = [own_places.pop(0) for _ in item.offsets]
    return items, torch.tensor(given, dtype=ids.dtype), output
