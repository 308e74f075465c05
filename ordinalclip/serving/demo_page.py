"""The local page itself: one HTML file with everything in it, and the policy that keeps it to that."""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from ordinalclip.inference.predictions import Ranks
from ordinalclip.inference.reading import FORMATS_TOLD

_HEADINGS = {
    "run": "run",
    "dataset": "data",
    "backbone": "image tower",
    "prompt": "prompt",
    "seed": "seed",
    "format": "format",
    "precision": "precision",
}
_ON_TEST = "selected on test: the run's epoch was chosen by its test scores, which promise nothing for other images"
_SYNTHETIC = "SYNTHETIC: learned from rendered heads; it says nothing of the age of people"
_RENDERED = ("synthetic_heads", "heads")  # the second is what older runs call it


@dataclass(frozen=True)
class Page:
    """What is sent to a browser.

    Attributes:
        html: the page.
        policy: the Content-Security-Policy under which its own script and style run, and nothing else.
    """

    html: str
    policy: str


def demo_page(facts: Mapping[str, Any], ranks: Ranks, max_bytes: int, max_pixels: int) -> Page:
    """The page for a model.

    Args:
        facts: of the model.
        ranks: of the model.
        max_bytes: of a file that is sent.
        max_pixels: of an image.
    """
    from jinja2 import Environment, StrictUndefined

    template = files("ordinalclip.serving").joinpath("templates", "demo.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    html = environment.from_string(template).render(
        name=facts.get("dataset") or "images",
        num_ranks=len(ranks.names),
        first=ranks.names[0],
        last=ranks.names[-1],
        unit=ranks.unit,
        readout=ranks.readout.replace("_", " "),
        facts=[(told, facts[key]) for key, told in _HEADINGS.items() if facts.get(key) is not None],
        stamps=stamps(facts),
        formats=FORMATS_TOLD,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
    )
    return Page(html, _policy(html))


def stamps(facts: Mapping[str, Any]) -> list[str]:
    """What has to be told wherever a model's answers are."""
    told = [_ON_TEST] if facts.get("selected_on") == "test" else []
    return told + ([_SYNTHETIC] if facts.get("dataset") in _RENDERED else [])


def _policy(html: str) -> str:
    hashes = {tag: re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL) for tag in ("script", "style")}
    allowed = {tag: " ".join(f"'sha256-{_hash(text)}'" for text in found) for tag, found in hashes.items()}
    return "; ".join(
        [
            "default-src 'self'",
            f"script-src {allowed['script']}",
            f"style-src {allowed['style']}",
            "img-src 'self' blob: data:",  # blob: the image that is looked at
            "connect-src 'self'",
            *(f"{kind} 'none'" for kind in ("object-src", "base-uri", "form-action", "frame-ancestors")),
        ]
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
