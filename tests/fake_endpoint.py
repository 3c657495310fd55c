"""An honest little HTTP server that a test tells what to answer: no model, no mocks."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from listening import Listening

Answer = tuple[int, dict[str, str], Any]  # status, headers, body


def completion(text: str) -> Answer:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}}
    body = {"model": "fake", "choices": [{**choice, "finish_reason": "stop"}]}
    return 200, {}, {**body, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}


class FakeEndpoint(Listening):
    """Answers each chat request by `answer(body, number of this attempt at this question)`.

    answer may return None to drop the connection. Counts requests, and the most at once.
    described: its openapi.json, where it has one; a reward model's requests are answered too.
    """

    def __init__(
        self, answer: Callable[[dict, int], Answer | None], described: dict | None = None
    ) -> None:
        self.requests: list[tuple[dict, dict]] = []
        self.attempts: dict[str, int] = {}
        self.at_once = self.most_at_once = 0
        self.times: list[float] = []
        lock = threading.Lock()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/openapi.json":
                    self.reply((200, {}, described) if described else (404, {}, {}))
                else:
                    self.reply((200, {}, {"data": [{"id": "fake"}]}))

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                key = json.dumps(body.get("messages") or body.get("text"))
                with lock:
                    fake.times.append(time.monotonic())
                    fake.requests.append((dict(self.headers), body))
                    fake.attempts[key] = fake.attempts.get(key, 0) + 1
                    number = fake.attempts[key]
                    fake.at_once += 1
                    fake.most_at_once = max(fake.most_at_once, fake.at_once)
                reply = answer(body, number)
                with lock:
                    fake.at_once -= 1
                self.reply(reply)

            def reply(self, reply: Answer | None) -> None:
                if reply is None:
                    self.close_connection = True
                    return
                status, headers, body = reply
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        super().__init__(Server(("127.0.0.1", 0), Handler))


def question(body: dict) -> str:
    return body["messages"][-1]["content"]
