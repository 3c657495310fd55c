"""Videos in SGLang as in the other engines: qvl's frames, resized once, behind the ids that were sent.

SGLang 0.5.21 by itself takes other frames of a file (it cuts off where all others round), resizes them
to multiples of 28 before its processor does to multiples of 32, and takes no frames as one video. Of
a prompt that is given as ids it tokenises the text again, so that sampled tokens may become others.
Qwen3-VL's videos go another way here, up to its own processor, which is transformers'.

Which frames are taken is told by qvl.media.video itself, the one thing of qvl that an engine imports:
it asks nothing of the environment but NumPy, Pillow and, for files, PyAV.
"""

# pyright: reportMissingImports=false

import asyncio
import copy
import importlib
import importlib.util
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

QVL = Path(__file__).resolve().parent.parent.parent
PROCESSOR = "sglang.srt.multimodal.processors.qwen_vl"
ROUTE = "/video_frames"  # by which qvl.engines.probe knows of it
MODELS = ("qwen3_vl", "qwen3_vl_moe")


class Clip(NamedTuple):
    """What is handed to transformers' processor. A tuple, which SGLang's loader leaves as it is."""

    frames: Any
    """(T, 3, H, W) uint8 tensor"""
    metadata: dict[str, Any]


def register() -> None:
    """To be called before SGLang's plugins are loaded, in the process that holds the tokenizer."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    for name, hook in (
        ("preprocess_video", as_it_is),
        ("QwenVLImageProcessor._process_mm_data_uncached", with_clips),
        ("QwenVLImageProcessor.process_and_combine_mm_data", with_own_ids),
    ):
        HookRegistry.register(f"{PROCESSOR}.{name}", hook, HookType.AROUND)


def are_registered() -> bool:
    """Whether SGLang took the hooks; where it could not, it says so in its log and goes on."""
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


async def described() -> dict[str, Any]:
    """The route's answer: how frames are chosen."""
    video = qvl_video()
    return {
        "fps": video.FPS,
        "min_frames": video.MIN_FRAMES,
        "max_frames": video.MAX_FRAMES,
        "files": importlib.util.find_spec("av") is not None,
    }


def qvl_video() -> Any:
    """qvl.media.video of the qvl that started this engine; nothing else of its environment comes along."""
    if "qvl" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "qvl", QVL / "__init__.py", submodule_search_locations=[str(QVL)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["qvl"] = module
        spec.loader.exec_module(module)
    return importlib.import_module("qvl.media.video")


async def with_clips(
    process: Any,
    processor: Any,
    pictures: Any,
    prompt: Any,
    request: Any,
    /,
    *rest: Any,
    **named: Any,
) -> Any:
    """SGLang's preparation of a request, with clips in place of its videos."""
    if request.video_data and processor.model_type in MODELS:
        loop = asyncio.get_running_loop()
        loading = [
            loop.run_in_executor(processor.io_executor, load, each) for each in request.video_data
        ]
        request = copy.copy(request)
        request.video_data = list(await asyncio.gather(*loading))
    return await process(processor, pictures, prompt, request, *rest, **named)


async def as_it_is(preprocess: Any, video: Any, /, *rest: Any, **named: Any) -> Any:
    """A clip's frames, not sampled and not resized."""
    if isinstance(video, Clip):
        return video.frames, video.metadata
    return await preprocess(video, *rest, **named)


def load(given: Any) -> Any:
    """The clip of one video of a request. ValueError, which SGLang answers with 400, for a bad one."""
    import torch

    if isinstance(given, (Clip, dict)):  # a dict is what a processor made already
        return given
    video = qvl_video()
    reference = getattr(given, "url", given)
    is_frames = isinstance(reference, str) and reference.startswith(video.FRAMES_URI)
    if not is_frames and importlib.util.find_spec("av") is None:
        raise ValueError(
            "files of videos need PyAV in SGLang's environment: qvl doctor --install sglang, or "
            "pip install av there"
        )
    try:
        if isinstance(reference, str) and reference.startswith("data:"):
            clip = video.read(reference, Path())
        else:
            from sglang.srt.utils.common import get_video_bytes

            clip = video.decode(get_video_bytes(reference), video.images.brief(str(reference)))
    except video.UserError as error:
        raise ValueError(str(error)) from None
    metadata = {
        "fps": clip.fps,
        "total_num_frames": clip.indices[-1] + 1,
        "frames_indices": list(clip.indices),
        "video_backend": "qvl",
    }
    return Clip(torch.from_numpy(clip.frames).permute(0, 3, 1, 2).contiguous(), metadata)


def with_own_ids(
    combine: Any, processor: Any, loaded: Any, tokens: Any, /, *rest: Any, **named: Any
) -> Any:
    """What transformers' processor makes of a prompt with videos; of one that was given as ids these
    very ids, expanded, where it tokenised their text again."""
    import torch

    items, ids, made = combine(processor, loaded, tokens, *rest, **named)
    shown = named.get("video_metadata")
    if not shown or loaded.input_ids is None or processor.model_type not in MODELS:
        return items, ids, made
    own = processor._processor
    size = own.video_processor.temporal_patch_size
    times = [
        own._calculate_timestamps(list(each["frames_indices"]), each["fps"], size) for each in shown
    ]
    given, places, kinds = processor.build_input_ids_with_timestamps(
        list(loaded.input_ids), None, made.get("image_grid_thw"), made["video_grid_thw"], times
    )
    left: dict[Any, list] = defaultdict(list)
    for kind, place in zip(kinds, places, strict=True):
        left[kind].append(place)
    for item in items:  # an image has one place, a video one for each pair of frames
        own_places = left[item.modality]
        item.offsets = [own_places.pop(0) for _ in item.offsets]
    return items, torch.tensor(given, dtype=ids.dtype), made
