"""SGLang's server with the arguments of `sglang serve`, behind qvl's access guard, with working seeds
and the same frames of videos as the other engines.

multiprocessing's spawn imports the main script again in every child, so the hooks registered at module
level also exist in the scheduler and the detokenizer.
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
IDLE_SECONDS = 0.02  # between two checks


def register_hooks() -> None:
    """Replace or wrap the functions of SGLang that are named above."""
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    if os.environ.get("SGLANG_USE_CPU_ENGINE") == "1":
        # Seeds work only under --enable-deterministic-inference, which also installs Triton kernels and
        # fails on a CPU: "No supported accelerator (CUDA/XPU) available".
        HookRegistry.register(RUNNER, lambda self: None, HookType.REPLACE)
    HookRegistry.register(SENDER, send_with_seed, HookType.AROUND)
    HookRegistry.register(SAMPLER, sample_without_media, HookType.AROUND)
    HookRegistry.register(BATCH_SENDER, send_batch_with_seeds, HookType.AROUND)
    HookRegistry.register(UPDATER, update_when_idle, HookType.AROUND)


def send_with_seed(send: Any, manager: Any, request: Any) -> Any:
    """Give a request without a seed a random one, and sample i of n the seed + i, as vLLM does.

    SGLang would use seed 42 for all of them, so that the n samples of a request were equal.
    """
    parameters = seeded(request)
    # A request of no tokens fills the prefix cache first; then n copies share one `parameters`.
    if parameters is not None and parameters.n > 1 and parameters.max_new_tokens != 0:
        request.sampling_params = copy.copy(parameters)
        parameters.sampling_seed += 1
    return send(manager, request)


def send_batch_with_seeds(send: Any, manager: Any, requests: Any) -> Any:
    """send_with_seed for a batch of requests."""
    for request in requests:
        seeded(request)
    return send(manager, requests)


def sample_without_media(sample: Any, sampler: Any, probs: Any, *rest: Any, **named: Any) -> Any:
    """Sample without the tokens of images and videos: the next prompt would be short of an image.

    The log-probs do not change, as they would by a logit_bias. A batch in which all rows have temperature
    0 is not sampled and does not come here.
    """
    probs[:, NEVER_SAMPLED] = 0
    return sample(sampler, probs, *rest, **named)


async def update_when_idle(update: Any, manager: Any, request: Any) -> Any:
    """Update once the scheduler is idle.

    An update holds new requests back and waits for the others. For a moment the scheduler may still count
    one that was answered; it crashes if it cannot empty its cache then.
    """
    while not (manager.is_pause or (await manager.flush_cache()).success):
        await asyncio.sleep(IDLE_SECONDS)
    return await update(manager, request)


def seeded(request: Any) -> Any:
    """The request's sampling parameters with a seed; None if it samples nothing."""
    parameters = getattr(request, "sampling_params", None)
    if parameters is None or not hasattr(parameters, "sampling_seed"):
        return None
    if parameters.sampling_seed is None:
        parameters.sampling_seed = secrets.randbits(62)
    return parameters


def main() -> None:
    """Run the server until it is stopped."""
    import qvl_sglang_videos
    from qvl_engine_guard import AccessGuard
    from sglang.launch_server import run_server
    from sglang.srt.arg_groups import choices
    from sglang.srt.entrypoints.http_server import app
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    qvl_sglang_videos.register()
    load_plugins()
    if qvl_sglang_videos.are_registered():
        app.add_api_route(qvl_sglang_videos.ROUTE, qvl_sglang_videos.frame_rules, methods=["GET"])
    choices.add_deterministic_attention_backend_choices(["torch_native"])
    arguments = prepare_server_args(sys.argv[1:])
    app.add_middleware(AccessGuard)
    try:
        run_server(arguments)
    finally:
        kill_process_tree(os.getpid(), include_parent=False)


register_hooks()

if __name__ == "__main__":
    main()
