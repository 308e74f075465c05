"""What stands before the local page: only its own pages may talk to it, and they may load nothing from elsewhere."""

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost", "[::1]")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """An app behind checks of who asks, its answers with strict headers, those of its failures among them.

    A page of somebody else's that is open in the same browser reaches loopback too: by a name of its own that points
    there (DNS rebinding), which its Host tells, or by sending blindly, which its Origin tells.

    Args:
        app: what is behind.
        policy: its Content-Security-Policy.
    """

    def __init__(self, app: ASGIApp, policy: str) -> None:
        self.app = app
        self.headers: Mapping[str, str] = {**_HEADERS, "content-security-policy": policy}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; what is no HTTP is closed without a word."""
        if scope["type"] != "http":
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.encode(), value.encode()) for name, value in self.headers.items()]
                message = {**message, "headers": [*message.get("headers", []), *added]}
            await send(message)

        problem = refusal(Headers(scope=scope))
        answer = self.app if problem is None else JSONResponse({"error": problem}, status_code=403)
        await answer(scope, receive, send_with_headers)


def refusal(headers: Headers) -> str | None:
    """Why a request is not answered; None where it is."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or _name(hosts[0]) not in HOSTS:
        return f"this page answers only under {', '.join(HOSTS)}"
    if any(origin != f"http://{hosts[0]}" for origin in origins):
        return "this page answers only to itself, not to other pages"
    return None


def _name(host: str) -> str:
    """Of a Host header, without its port: any port, since one may be forwarded by ssh."""
    end = host.find("]") + 1 if host.startswith("[") else host.find(":")
    return host[:end].lower() if end > 0 else host.lower()
