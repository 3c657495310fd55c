"""How SGLang's server is started, on a CPU and on GPUs.

Flags that are not obvious have a comment; all of them were run on a CPU with SGLang 0.5.21.
"""

from pathlib import Path

from qvl.engines.serving import launch
from qvl.engines.serving.environments import INJECT, Environment
from qvl.engines.serving.launch import Launch, LaunchOptions

GRACE_SECONDS = 2.0  # on SIGTERM it finishes its requests first, and takes 10 s when idle


def start(environment: Environment, model: Path, options: LaunchOptions) -> Launch:
    """The process that serves `model`. UserError if the folder is not a checkpoint."""
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
    command += ["--sleep-on-idle", "--skip-server-warmup"]  # else an idle server keeps a core busy
    own = {
        # Its image cache would keep the features of the previous vision tower after a weight update.
        "SGLANG_VLM_CACHE_SIZE_MB": "0",
        # Log-probs of the logits, not of the logits over the temperature.
        "SGLANG_RETURN_ORIGINAL_LOGPROB": "1",
        "QVL_NEVER_SAMPLED": ",".join(map(str, launch.never_sampled(config))),
    }
    if environment.device == "cpu":
        tokens = launch.cache_tokens(length, options.max_batch)
        command += ["--device", "cpu", "--attention-backend", "torch_native"]
        command += ["--max-total-tokens", str(tokens)]  # else 0.72 of the machine's memory
        command += ["--enable-deterministic-inference"]  # without it seeds are ignored
        own |= {
            "SGLANG_USE_CPU_ENGINE": "1",
            "TORCH_COMPILE_DISABLE": "1",  # small helpers would take 10 s of C++ compiler per shape
            "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
    variables = launch.variables(environment, options, **own)
    return Launch([*command, *options.extra], variables, GRACE_SECONDS)
