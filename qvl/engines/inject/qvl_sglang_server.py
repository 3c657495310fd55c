"""SGLang's own server: the arguments of `sglang serve`, behind qvl's guard, with seeds that count.

multiprocessing's spawn imports the main script again in every child, so what stands at module level
here is there in the scheduler and the detokenizer too.
"""

# pyright: reportMissingImports=false

import copy
import os
import secrets
import sys
from typing import Any

RUNNER = "sglang.srt.model_executor.model_runner.ModelRunner.maybe_enable_batch_invariant_mode"
SENDER = "sglang.srt.managers.tokenizer_manager.TokenizerManager._send_one_request"
INTAKE = "sglang.srt.managers.scheduler.Scheduler.process_input_requests"
SAMPLER = "sglang.srt.layers.sampler.Sampler._sample_from_probs"
NEVER_SAMPLED = [int(each) for each in os.environ.get("QVL_NEVER_SAMPLED", "").split(",") if each]
BATCH_SENDER = "sglang.srt.managers.tokenizer_manager.TokenizerManager._send_batch_request"


def register_hooks() -> None:
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType

    if os.environ.get("SGLANG_USE_CPU_ENGINE") == "1":
        # Seeds count under --enable-deterministic-inference alone, which also installs kernels in
        # Triton and stops: "No supported accelerator (CUDA/XPU) available".
        HookRegistry.register(RUNNER, lambda self: None, HookType.REPLACE)
    HookRegistry.register(SENDER, send_with_seed, HookType.AROUND)
    HookRegistry.register(INTAKE, update_when_idle, HookType.AROUND)
    HookRegistry.register(SAMPLER, sample_no_media, HookType.AROUND)
    HookRegistry.register(BATCH_SENDER, send_batch_with_seeds, HookType.AROUND)


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


def update_when_idle(process: Any, scheduler: Any, requests: list[Any]) -> Any:
    """An update of the weights comes once all that was asked is answered, but the scheduler may have
    yet to put the answered requests away. It then cannot flush its cache: an assertion, and the
    engine dies. So the update waits for the next turn of its loop.
    """
    requests = [*getattr(scheduler, "qvl_deferred", ()), *requests]
    scheduler.qvl_deferred = []
    ready = []
    for request in requests:
        flushes = type(request).__name__.startswith("UpdateWeight") and request.flush_cache
        # Paused, the loop would not go on; and then whoever paused it answers for what is running.
        if flushes and not scheduler._engine_paused and not scheduler.is_fully_idle():
            scheduler.qvl_deferred.append(request)
        else:
            ready.append(request)
    return process(scheduler, ready)


def sample_no_media(sample: Any, sampler: Any, probs: Any, *rest: Any, **named: Any) -> Any:
    """Without the tokens that stand for images and videos, of which an answer has none: the next turn
    would be short of an image. Log-probs are those of before; a logit_bias would change them.
    """
    probs[:, NEVER_SAMPLED] = 0
    return sample(sampler, probs, *rest, **named)


def seeded(request: Any) -> Any:
    """The request's sampling parameters, with a seed; None where it samples nothing."""
    parameters = getattr(request, "sampling_params", None)
    if parameters is None or not hasattr(parameters, "sampling_seed"):
        return None
    if parameters.sampling_seed is None:
        parameters.sampling_seed = secrets.randbits(62)
    return parameters


def main() -> None:
    from qvl_engine_guard import Guard
    from sglang.launch_server import run_server
    from sglang.srt.arg_groups import choices
    from sglang.srt.entrypoints.http_server import app
    from sglang.srt.plugins import load_plugins
    from sglang.srt.server_args import prepare_server_args
    from sglang.srt.utils import kill_process_tree

    load_plugins()
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
