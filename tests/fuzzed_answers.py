"""An endpoint whose every answer is broken in another way, and what qvl's clients make of it."""

import json
import random
import re
import socketserver
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future
from pathlib import Path
from typing import Any

import fuzzed
import orjson
from listening import Listening

from qvl.client import Client, chat, scoring
from qvl.engines.client import EngineClient
from qvl.engines.prompt_rules import PromptRules
from qvl.engines.sglang.client import SglangClient
from qvl.engines.tokens import SamplingParams, TokensPrompt
from qvl.engines.vllm.client import VllmClient
from qvl.errors import UserError

FIRST = 10  # the least number of an answer, which is the first token of its prompt
WINDOW = 32  # requests in flight
PATHS = {"messages": {}, "use_activation": {}}
DESCRIBED = {
    "paths": {
        "/classify": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/c/s/A"}}}}
            }
        }
    },
    "components": {"schemas": {"A": {"anyOf": [{"$ref": "#/c/s/B"}]}, "B": {"properties": PATHS}}},
}


def sound(path: str, number: int) -> Any:
    """What a server in order answers a request of this number."""
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    if path == "/classify":
        return {"data": [{"index": 0, "probs": [0.5], "num_classes": 1}], "usage": usage}
    if path == "/inference/v1/generate":
        top = [{"token_id": 7, "logprob": -0.5}, {"token_id": 8, "logprob": -1.5}]
        entry = {"token_id": 7, "logprob": -0.5, "top_logprobs": top}
        spans = [{"version": "0", "start": 0, "end": 1}]
        choice = {"token_ids": [7], "logprobs": {"content": [entry]}, "finish_reason": "stop"}
        row = {"6": {"logprob": -1.0}, "9": {"logprob": -0.5}}
        return {
            "prompt_token_ids": [number, 6],
            "choices": [{**choice, "weight_versions": spans}],
            "prompt_logprobs": [None, row],
        }
    if path == "/generate":
        pair = [[-0.5, 7, None], [-1.5, 8, None]]
        info = {
            "prompt_tokens": 2,
            "output_token_logprobs": [[-0.5, 7, None]],
            "output_top_logprobs": [pair],
            "input_token_logprobs": [[None, number, None], [-1.0, 6, None]],
            "input_top_logprobs": [None, pair],
            "finish_reason": {"type": "stop"},
            "weight_version": "0",
        }
        return {"output_ids": [7], "meta_info": info}
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "a"},
    ]
    messages = [
        {"role": "assistant", "content": "<think>hm</think>a", "tool_calls": [call]},
        {"role": "assistant", "content": parts, "reasoning_content": None, "refusal": None},
    ]
    message = messages[number % 2]
    choices = [
        {"index": i, "message": message, "finish_reason": "stop"} for i in range(1 + number % 3)
    ]
    return {"id": "x", "model": "m", "choices": choices, "usage": usage}


def raw(path: str, number: int, choose: random.Random) -> bytes:
    """The bytes of a whole HTTP answer, in most of which something is broken."""
    body = fuzzed.encoded(sound(path, number), choose)
    if choose.random() < 0.1:
        error = {"error": {"message": "no", "type": "t", "param": None, "code": None}}
        body = fuzzed.encoded(error, choose)
    status = choose.choice((200,) * 12 + (201, 204, 302, 400, 401, 404, 422, 429, 500, 503))
    length = choose.choice((len(body),) * 20 + (len(body) + 5, len(body) // 2, 0))
    head = [f"HTTP/1.1 {status} OK", "Content-Type: application/json", "Connection: close"]
    if (kind := choose.random()) < 0.03:
        head.append("Transfer-Encoding: chunked")
    elif kind < 0.97:
        head.append(f"Content-Length: {length}")
    extra = (
        "Content-Encoding: gzip",
        "Content-Encoding: x",
        "Retry-After: soon",
        "Retry-After: 1e999",
    )
    if choose.random() < 0.1:
        head.append(choose.choice(extra))
    whole = "\r\n".join(head).encode() + b"\r\n\r\n" + body
    return fuzzed.mutated(whole, choose) if choose.random() < 0.05 else whole


class Broken(Listening):
    """A server whose answer to a request is a function of the seed and the request's number."""

    def __init__(self, seed: int) -> None:
        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                path = self.rfile.readline().split()[1].decode()
                length = 0
                while (line := self.rfile.readline()).strip():
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                body = self.rfile.read(length)
                number = _number(body)
                self.wfile.write(raw(path, number, random.Random(f"{seed} {path} {number}")))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = allow_reuse_address = True
            request_queue_size = 128

        super().__init__(Server(("127.0.0.1", 0), Handler))


def _number(body: bytes) -> int:
    """The number that a request has in its message, or as the first token of its prompt."""
    if found := re.search(rb"#(\d+)", body):
        return int(found[1])
    prompt = json.loads(body)
    return (prompt.get("token_ids") or prompt["input_ids"])[0]


def outcomes(count: int, seed: int) -> Counter[str]:
    """What came of `count` requests, by kind. Any other exception than a UserError is raised."""
    found: Counter[str] = Counter()
    with Broken(seed) as server:
        options: dict[str, Any] = {"retries": 0, "concurrency": WINDOW, "timeout_seconds": 20}
        route = scoring.find(DESCRIBED, "x")
        facts = {"endpoint": server.url, "weight_version": "0", "weights_folder": None}
        facts |= {"models": ["m"], "max_model_len": None, "capabilities": []}
        rules = PromptRules(Path(), 1 << 30, 1 << 29, (1 << 29) + 1, None, None, ())
        with Client([server.url], "m", **options) as client:
            client._known_route = route  # its openapi.json is read in the tests of scoring
            engines = [kind(Path(), rules, client, facts) for kind in (VllmClient, SglangClient)]
            waiting: list[tuple[int, Future]] = []
            for number in range(FIRST, FIRST + count):
                waiting.append((number, _asked(client, engines, number)))
                if len(waiting) == WINDOW:
                    found.update(_outcome(*each) for each in waiting)
                    waiting = []
            found.update(_outcome(*each) for each in waiting)
    return found


def _asked(client: Client, engines: Sequence[EngineClient], number: int) -> Future:
    messages = [{"role": "user", "content": f"#{number}"}]
    params = SamplingParams(max_tokens=1, top_logprobs=2)
    match number % 8:
        case 0:
            return client.score(messages)
        case 1 | 2:
            return engines[number % 2].generate(TokensPrompt([number, 6]), params)
        case 3 | 4:
            return engines[number % 2].prompt_logprobs(TokensPrompt([number, 6]), top=2)
        case _:
            return client.submit(messages, n=2)


def _outcome(number: int, future: Future) -> str:
    try:
        answer = future.result(60)
    except CancelledError:
        raise AssertionError(f"request {number} was cancelled") from None
    except UserError as error:
        assert "\n" not in str(error), error
        return type(error).__name__
    except Exception as error:
        raise AssertionError(f"request {number}: {type(error).__name__}: {error}") from error
    if isinstance(answer, dict):  # what a record would hold
        for each in chat.responses(answer, {}, thinking=bool(number % 3)):
            assert isinstance(each["content"], str)
            assert isinstance(each.get("num_tokens", 0), int)
            orjson.dumps(each)
    return "answered"
