"""code_interpreter: run Python in the sandbox, and show what it prints.

The schema is Qwen-Agent's. Each call is a process of its own without files, network or packages, see
qvl.sandbox: nothing of one call remains for the next.
"""

from typing import Any

from qvl import sandbox
from qvl.agent.tools import MAX_CHARACTERS, Context, ToolError

SCHEMA = {
    "type": "function",
    "function": {
        "name": "code_interpreter",
        "description": "Python code sandbox, which can be used to execute Python code.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "The python code."}},
            "required": ["code"],
        },
    },
}


def call(arguments: dict[str, Any], context: Context) -> str:
    """What the program prints; then its errors, and why it ended early."""
    code = arguments["code"]
    if not isinstance(code, str):
        raise ToolError("Tool Execution Error code: expected a string")
    seconds = context.settings.seconds
    limits = sandbox.Limits(
        wall_seconds=seconds, cpu_seconds=max(1, int(seconds)), output_bytes=4 * MAX_CHARACTERS
    )
    try:
        done = sandbox.run(code, limits=limits, unsafe_local=context.settings.unsafe_local)
    except sandbox.NoIsolation:
        raise
    except sandbox.SandboxError as error:
        raise ToolError(f"Tool Execution Error the sandbox failed: {error}") from None
    parts = [done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")]
    endings = {
        "timeout": f"Error: it took more than {seconds:g} s",
        "memory": f"Error: it took more than {limits.memory_bytes >> 20} MiB of memory",
        "output": f"Error: it printed more than {limits.output_bytes} bytes",
        "crash": f"Error: it ended by signal {done.exit_code - 128}",
    }
    parts.append(endings.get(done.status, ""))
    text = "\n".join(part.strip("\n") for part in parts if part.strip())
    return text or "Finished; nothing was printed."
