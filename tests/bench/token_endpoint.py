"""vLLM's route for token ids that answers in 50 ms, in a process of its own: what a client spends is its own.

    token_endpoint.py PLAN.json    {"pad", "scene", "crop": tokens of an image, "turns": [ids, ...]}

Prints its port. The turn is told by the number of images in the prompt: the scene, then a crop per call.
"""

import asyncio
import json
import sys
from pathlib import Path

import orjson
from aiohttp import web
from serving_app import serve

SECONDS = 0.05


class Endpoint:
    def __init__(self, plan: dict) -> None:
        self.plan = plan
        self.choices = [
            {
                "token_ids": ids,
                "logprobs": {"content": [{"logprob": -0.5}] * len(ids)},
                "finish_reason": "stop",
            }
            for ids in plan["turns"]
        ]

    async def generate(self, request: web.Request) -> web.Response:
        body = orjson.loads(await request.read())
        ids, images = [], 0
        for token in body["token_ids"]:
            if token == self.plan["pad"]:
                ids += [token] * self.plan["scene" if images == 0 else "crop"]
                images += 1
            else:
                ids.append(token)
        answer = {"prompt_token_ids": ids, "choices": [self.choices[images - 1]]}
        await asyncio.sleep(SECONDS)
        return web.Response(body=orjson.dumps(answer), content_type="application/json")

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "fake"}]})

    async def described(self, request: web.Request) -> web.Response:
        return web.json_response({"paths": {"/inference/v1/generate": {}}})


def main() -> None:
    endpoint = Endpoint(json.loads(Path(sys.argv[1]).read_text()))
    app = web.Application(client_max_size=1 << 28)
    app.router.add_post("/inference/v1/generate", endpoint.generate)
    app.router.add_get("/v1/models", endpoint.models)
    app.router.add_get("/openapi.json", endpoint.described)
    serve(app)


if __name__ == "__main__":
    main()
