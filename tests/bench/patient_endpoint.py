"""A chat endpoint that answers in 50 ms, in a process of its own: what a client spends is its own.

Prints its port. GET /flight tells the requests in flight, as each new one found them.
"""

import asyncio
import json
import sys

from aiohttp import web
from serving_app import serve

SECONDS = 0.05


class Endpoint:
    """Counts what is in flight; the answer is always the same."""

    def __init__(self, text: str) -> None:
        self.now, self.seen = 0, []
        choice = {"index": 0, "message": {"role": "assistant", "content": text}}
        usage = {"prompt_tokens": 100, "completion_tokens": 20}
        whole = {"model": "judge", "choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
        self.answer = json.dumps(whole).encode()

    async def chat(self, request: web.Request) -> web.Response:
        self.now += 1
        self.seen.append(self.now)
        try:
            await request.read()
            await asyncio.sleep(SECONDS)
        finally:
            self.now -= 1
        return web.Response(body=self.answer, content_type="application/json")

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "judge"}]})

    async def flight(self, request: web.Request) -> web.Response:
        seen, self.seen = self.seen, []
        return web.json_response(seen)


def main() -> None:
    endpoint = Endpoint(sys.argv[1])
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint.chat)
    app.router.add_get("/v1/models", endpoint.models)
    app.router.add_get("/flight", endpoint.flight)
    serve(app)


if __name__ == "__main__":
    main()
