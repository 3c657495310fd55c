"""Why an engine's process ended: from its log and its exit status to one line."""

import re
import signal

CAUSES = (  # pattern in an engine's log -> message; \1 is the first group
    (
        r"address already in use|[Pp]ort \d+ (?:is|was) (?:already )?(?:in use|not available)",
        "the port is in use; --port 0 picks a free port",
    ),
    (
        r"Unsupported CPU attention configuration: head_dim=(\d+)",
        r"its attention on a CPU does not support head size \1; 32, 64, 96 and 128 work",
    ),
    (r"unrecognized arguments: (.*)", r"it has no option \1"),
    (r"error: (argument .*)", r"\1"),
    (
        r"CUDA out of memory|OutOfMemoryError|[Oo]ut of memory|Cannot allocate memory"
        r"|No available memory for the cache blocks|Not enough memory|less than desired GPU memory",
        "out of memory; lower --max-batch or --max-model-len",
    ),
    (
        r"(The size of tensor .* must match .*|size mismatch for .*)",
        r"the weights do not have the shapes of config.json: \1",
    ),
    (r"No processor registered for architecture: (.*)", r"it cannot import its processor for \1"),
)
EXCEPTION = re.compile(r"(?:^|\s)((?:\w+\.)*\w*(?:Error|Exception|NotFound)): (.+)$", re.MULTILINE)
NOISE = ("KeyboardInterrupt", "Engine core initialization failed", "Engine core proc", "EngineDead")


def diagnose(log: str, status: int) -> str:
    """Why an engine ended, in one line, from the end of its log and its exit status."""
    for pattern, message in CAUSES:
        match = re.search(pattern, log, re.IGNORECASE)
        if match:
            return match.expand(message)
    if status == -signal.SIGKILL:
        return "it was killed, perhaps because the machine is out of memory"
    errors = [f"{kind.rpartition('.')[2]}: {text.strip()}" for kind, text in EXCEPTION.findall(log)]
    causes = [error for error in errors if not any(noise in error for noise in NOISE)]
    if causes:
        return causes[-1]
    if status < 0:
        return f"signal {-status}"
    last = log.strip().splitlines()
    return f"status {status}: {last[-1].strip()}" if last else f"status {status}"
