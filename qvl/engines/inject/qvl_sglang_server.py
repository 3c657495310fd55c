"""SGLang's own server: the arguments of `sglang serve`, behind qvl's guard, with seeds that count and
videos as the other engines see them.

multiprocessing's spawn imports the main script again in every child, so what stands at module level
here is there in the scheduler and the detokenizer too.
"""

# pyright: reportMissingImports=false

import asyncio
import copy
import os
import secrets
import sys
from typing import Any

RUNNER = "sglang.srt.model_executor.model_runner.ModelRunner.maybe_enable_batch_invariant_mode"
SENDER = "sglang.srt.managers.tokenizer_manager.TokenizerManager._send_one_request"
SAMPLER = "sglang.srt.layers.sampler.Sampler._sample_from_probs"
NEVER_SAMPLED = [int(each) for each in os.environ.get("QVL_NEVER_SAMPLED", "").split(",") if each]
BATCH_SENDER = "sglang.srt.managers.tokenizer_manager.TokenizerManager._send_batch_request"
UPDATER = "sglang.srt.managers.tokenizer_manager.TokenizerManager._wait_for_model_update_from_disk"
IDLE_SECONDS = 0.02  # between two looks


def register_hooks() -> None:
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    if os.environ.get("SGLANG_USE_CPU_ENGINE") == "1":
        # Seeds count under --enable-deterministic-inference alone, which also installs kernels in
        # Triton and stops: "No supported accelerator (CUDA/XPU) available".
        HookRegistry.register(RUNNER, lambda self: None, HookType.REPLACE)
    HookRegistry.register(SENDER, send_with_seed, HookType.AROUND)
    HookRegistry.register(SAMPLER, sample_no_media, HookType.AROUND)
    HookRegistry.register(BATCH_SENDER, send_batch_with_seeds, HookType.AROUND)
    HookRegistry.register(UPDATER, update_when_idle, HookType.AROUND)


def send_with_seed(send: Any, manager: Any, request: Any) -> Any:
    """Where seeds count, all requests without one get 42, and n samples of one are the same.

    So one without gets a random seed, and sample i of n has seed + i, as vLLM counts.
    """
    parameters = seeded(request)
    # Requests of no token fill the prefix cache first; then n copies share one `parameters`.
    if parameters is not None and parameters.n > 1 and parameters.max_new_tokens != 0:
        request.sampling_params = copy.copy(parameters)
        parameters.sampling_seed += 1
    return send(manager, request)


def send_batch_with_seeds(send: Any, manager: Any, requests: Any) -> Any:
    for request in requests:
        seeded(request)
    return send(manager, requests)


def sample_no_media(sample: Any, sampler: Any, probs: Any, *rest: Any, **named: Any) -> Any:
    """Without the tokens that stand for images and videos, of which an answer has none: the next turn
    would be short of an image. Log-probs are those of before; a logit_bias would change them. A batch
    of temperature 0 alone is not sampled, and does not come here.
    """
    probs[:, NEVER_SAMPLED] = 0
    return sample(sampler, probs, *rest, **named)


async def update_when_idle(update: Any, manager: Any, request: Any) -> Any:
    """An update holds back new requests and waits for the answers of all others. The scheduler may
    count one for a moment longer that was answered, and dies where it cannot empty its cache then."""
    while not (manager.is_pause or (await manager.flush_cache()).success):
        await asyncio.sleep(IDLE_SECONDS)
    return await update(manager, request)


def seeded(request: Any) -> Any:
    """The request's sampling parameters, with a seed; None where it samples nothing."""
    parameters = getattr(request, "sampling_params", None)
    if parameters is None or not hasattr(parameters, "sampling_seed"):
        return None
    if parameters.sampling_seed is None:
        parameters.sampling_seed = secrets.randbits(62)
    return parameters


def main() -> None:
    import qvl_sglang_videos
    from qvl_engine_guard import Guard
    from sglang.launch_server import run_server
    from sglang.srt.arg_groups import choices
    from sglang.srt.entrypoints.http_server import app
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    qvl_sglang_videos.register()
    load_plugins()
    if qvl_sglang_videos.are_registered():
        app.add_api_route(qvl_sglang_videos.ROUTE, qvl_sglang_videos.described, methods=["GET"])
    choices.add_deterministic_attention_backend_choices(["torch_native"])
    arguments = prepare_server_args(sys.argv[1:])
    app.add_middleware(Guard)
    try:
        run_server(arguments)
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


register_hooks()

if __name__ == "__main__":
    main()
