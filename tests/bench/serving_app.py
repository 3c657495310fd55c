"""An aiohttp application of a benchmark, served from a process of its own until it is ended."""

import asyncio

from aiohttp import web


def serve(app: web.Application) -> None:
    """Serve on a free port of this machine, whose number is the first line of standard output."""
    asyncio.run(_serve(app))


async def _serve(app: web.Application) -> None:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=512)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
