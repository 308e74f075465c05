"""A port on this machine's own address, which other machines cannot reach."""

import errno
import socket

from ordinalclip.errors import ConfigError

HOSTS = ("127.0.0.1", "localhost", "::1")
_TRIES = 100


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to a port, or to the next free one above it.

    Args:
        host: one of `HOSTS`.
        port: 1…65535; 0 is any free one.

    Raises:
        ConfigError: another host, or no port is free.
    """
    if host not in HOSTS:
        remedy = "from elsewhere: ssh -L 7860:127.0.0.1:7860 THIS_MACHINE, and open the address there"
        raise ConfigError("host", host, "the page is for this machine only", allowed=", ".join(HOSTS), remedy=remedy)
    family, name = (socket.AF_INET6, "::1") if host == "::1" else (socket.AF_INET, "127.0.0.1")
    for tried in range(port, min(port + _TRIES, 65536)):
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port whose connections have just been closed
        try:
            bound.bind((name, tried))
            bound.listen(128)
        except OSError as error:
            bound.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise ConfigError("host", host, f"cannot be listened on: {error.strerror or error}") from None
            continue
        return bound
    raise ConfigError("port", port, f"neither it nor the {_TRIES} after it are free to use")


def address(bound: socket.socket, host: str) -> str:
    """What is typed into a browser."""
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}/"
