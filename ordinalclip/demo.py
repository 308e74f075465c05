"""`python -m ordinalclip.demo`: a web page on this machine that shows the rank of an image.

The server listens on the loopback address only. All words are checked before torch is imported.
"""

import errno
import logging
import socket
from collections.abc import Sequence
from pathlib import Path

from ordinalclip.cli.command import read_flag, read_words, run_command
from ordinalclip.config.compose import compose_defaults
from ordinalclip.errors import ConfigError
from ordinalclip.inference.naming import RUN_SYNTAX
from ordinalclip.runs.run import Run

log = logging.getLogger("ordinalclip")

HOSTS = ("127.0.0.1", "localhost", "::1")
_PORTS_TRIED = 100
_KEYS = ("run", "host", "port", "device", "paths.runs", "trusted")
_USAGE = """\
OrdinalCLIP opens a page on this machine: drop an image, see its rank, all probabilities, the nearest training images.

  python -m ordinalclip.demo run=RUN [KEY=VALUE …]

  run         a run's directory, its name or id, mlflow:ID, best:sweep=NAME,metric=val/mae, or an exported folder
  port        7860, or the next free one above it; 0 is any free one
  host        127.0.0.1, localhost or ::1: no other machine can reach the page
  device      auto, cpu, cuda, mps
  paths.runs  folder of the runs; by default runs
  trusted=true  for exported folders whose maker you trust: archives of torch.export run code of theirs

Ctrl-C ends it. Images are not kept. On a server, type `ssh -L 7860:127.0.0.1:7860 SERVER` where your browser is.

Example
  python -m ordinalclip.demo run=best:sweep=first,metric=val/mae"""


def main() -> None:
    """Entry point."""
    run_command(demo, _USAGE)


def demo(words: Sequence[str]) -> None:
    """Serves the page until Ctrl-C.

    Args:
        words: words of the form key=value; `run=` is required.

    Raises:
        ConfigError: a word cannot be used. Raised before torch is imported.
        DataError: the run is damaged.
    """
    typed = read_words(words, _KEYS, {"run": RUN_SYNTAX})
    word, host = typed.get("port", "7860"), typed.get("host", "127.0.0.1")
    if not (word.isascii() and word.isdecimal() and int(word[:6]) < 65536):
        raise ConfigError("port", word, "is no port", allowed="0…65535")
    port, trusted = int(word), read_flag(typed, "trusted", False)
    with listen(host, port) as bound:
        _serve(typed, address(bound, host), bound, port, trusted=trusted)


def _serve(typed: dict[str, str], where: str, bound: socket.socket, port: int, *, trusted: bool) -> None:
    import uvicorn
    from PIL import Image

    from ordinalclip.inference.opening import load
    from ordinalclip.serving.demo_app import demo_app, stamps
    from ordinalclip.serving.training_images import training_images

    model = load(typed["run"], device=typed.get("device", "auto"), runs=typed.get("paths.runs"), trusted=trusted)
    model.predict(Image.new("RGB", (8, 8)))  # what fails, fails now; and the first answer is as quick as others
    log.info("%s", "  ".join(f"{key} {value}" for key, value in model.facts.items() if value is not None))
    for stamp in stamps(model.facts):
        log.warning("%s", stamp)
    directory = _directory(typed, str(model.facts.get("run", "")), model.ranks.names)
    images = None if directory is None else training_images(directory)
    if images is None:
        log.info("its training images are not known here")
    else:
        log.info("%s training images in %s", f"{len(images.paths):,}", images.root)
    taken = bound.getsockname()[1] != port and port != 0
    log.info("%sopen %s (Ctrl-C ends it)", f"port {port} is taken; " if taken else "", where)
    config = uvicorn.Config(
        demo_app(model, images),
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
    )
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:  # uvicorn's own, once it has closed everything
        log.info("ended")


def _directory(typed: dict[str, str], name: str, ranks: Sequence[str]) -> Path | None:
    """Returns the directory of the model's run, as typed or in the folder of the runs; None if it is not here.

    Also None if an export has other ranks than its run, since the training images then have none of its ranks.
    """
    runs = compose_defaults(typed)["paths"]["runs"]
    for place in (Path(typed["run"]).expanduser(), Path(runs).expanduser() / name):
        if place.resolve().name == name and (Run(place).read_json("ranks.json") or {}).get("names") == list(ranks):
            return place
    return None


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket at a port, or at the next free one above it.

    Args:
        host: one of `HOSTS`.
        port: 1…65535; 0 for any free port.

    Raises:
        ConfigError: the host is another one, or no port is free.
    """
    if host not in HOSTS:
        remedy = "from elsewhere: ssh -L 7860:127.0.0.1:7860 THIS_MACHINE, and open the address there"
        raise ConfigError("host", host, "the page is for this machine only", allowed=", ".join(HOSTS), remedy=remedy)
    family, name = (socket.AF_INET6, "::1") if host == "::1" else (socket.AF_INET, "127.0.0.1")
    for tried in range(port, min(port + _PORTS_TRIED, 65536)):
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
    raise ConfigError("port", port, f"neither it nor the {_PORTS_TRIED} after it are free to use")


def address(bound: socket.socket, host: str) -> str:
    """Returns the URL of the page."""
    return f"http://{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}/"


if __name__ == "__main__":
    main()
