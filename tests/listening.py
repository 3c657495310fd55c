"""A server of the test's own process."""

import socketserver
import threading
from typing import Self


class Listening:
    """Answers in threads while a `with` lasts."""

    def __init__(self, server: socketserver.TCPServer) -> None:
        self.server = server
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
