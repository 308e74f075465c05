"""A server in front of another one, that can be slow, broken or away."""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Proxy:
    """Passes requests on, or does what `mood` says.

    Args:
        port: of the server behind, on this machine.

    Attributes:
        mood: "up", "slow": answers after `gate` is set, "broken": answers 500, "away": hangs up,
            "closed": asks for a password.
        asked: how many requests came.
    """

    def __init__(self, port: int) -> None:
        self.mood, self.asked, self.gate = "up", 0, threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, port))
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends it."""
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(proxy: Proxy, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            proxy.asked += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if proxy.mood == "away":
                self.close_connection = True
                return
            if proxy.mood == "slow":
                proxy.gate.wait(60)
            if proxy.mood == "broken":
                self._answer(500, {}, b"broken")
                return
            if proxy.mood == "closed":
                self._answer(401, {}, b"You are not authenticated.")
                return
            behind = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            behind.request(self.command, self.path, body, headers | {"Host": f"127.0.0.1:{port}"})
            answer = behind.getresponse()
            self._answer(answer.status, {"Content-Type": answer.headers["Content-Type"]}, answer.read())
            behind.close()

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value or "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
