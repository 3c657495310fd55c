"""How SGLang's server is started, on a CPU and on GPUs.

Each flag that is not plain has its reason beside it; all of them ran on a CPU with SGLang 0.5.21.
"""

from pathlib import Path

from qvl.engines.serving import launch
from qvl.engines.serving.environments import INJECT, Environment
from qvl.engines.serving.launch import Launch, Options

GRACE_SECONDS = 2.0  # on SIGTERM it first drains its requests, and takes 10 s when idle


def start(environment: Environment, model: Path, options: Options) -> Launch:
    """The process that serves `model`; UserError where the folder holds no checkpoint."""
    config = launch.check_folder(model)
    length = launch.model_len(config, options.max_model_len)
    command = [str(environment.python), str(INJECT / "qvl_sglang_server.py")]
    command += ["--model-path", str(model), "--served-model-name", options.name]
    command += ["--host", options.host, "--port", str(options.port)]
    command += ["--context-length", str(length), "--max-running-requests", str(options.max_batch)]
    command += launch.dtype_flags(options, environment.device)
    command += ["--tool-call-parser", "qwen25"]
    command += ["--grammar-backend", "xgrammar"]
    command += ["--constrained-json-disable-any-whitespace"]  # else a model may pad JSON forever
    command += ["--sleep-on-idle", "--skip-server-warmup"]  # idle, it would keep a core busy
    own = {
        # Pictures that were seen before a weight update would keep the old tower's features.
        "SGLANG_VLM_CACHE_SIZE_MB": "0",
        # Log-probs of the model, not of its logits over the temperature.
        "SGLANG_RETURN_ORIGINAL_LOGPROB": "1",
        "QVL_NEVER_SAMPLED": ",".join(map(str, launch.never_sampled(config))),
    }
    if environment.device == "cpu":
        tokens = launch.cache_tokens(length, options.max_batch)
        command += ["--device", "cpu", "--attention-backend", "torch_native"]
        command += ["--max-total-tokens", str(tokens)]  # else 0.72 of the memory
        command += ["--enable-deterministic-inference"]  # without it seeds do not count
        own |= {
            "SGLANG_USE_CPU_ENGINE": "1",
            "TORCH_COMPILE_DISABLE": "1",  # small helpers would cost 10 s of C++ compiler a shape
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
    variables = launch.variables(environment, options, **own)
    return Launch([*command, *options.extra], variables, GRACE_SECONDS)
