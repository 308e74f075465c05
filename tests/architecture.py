"""The picture of the rooms in docs/architecture.md, drawn from the import contracts: `python -m tests.architecture`.

The order of the rooms is read from [tool.importlinter] in pyproject.toml, what each holds from the first line of its
`__init__`, so the picture is wrong only where the code is. A test compares the file with what is drawn today.
"""

import ast
import tomllib
from html import escape
from pathlib import Path

from tests import ROOT

PICTURE = ROOT / "docs" / "rooms.svg"
_WIDTH, _ROW, _LINE, _TOP = 1120, 34, 17, 64
_LEFT, _TEXT = 40, 370  # where boxes and explanations start
_FILL = {"command": "#e8eef7", "room": "#f6f1e4", "beside": "#eaf3ea"}


def layers() -> list[list[str]]:
    """Rooms of `ordinalclip` from the top down, as the contract lists them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    (rooms,) = (contract for contract in contracts["contracts"] if contract["name"] == "rooms")
    return [[name.strip() for name in layer.split("|")] for layer in rooms["layers"]]


def first_line(package: Path) -> str:
    """What a room or a module says that it holds."""
    file = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    line = docstring.partition("\n")[0].removeprefix(f"{package.name.capitalize()}: ")
    return line[:1].upper() + line[1:]


def draw() -> str:
    """The picture as SVG."""
    rows = layers()
    rooms = rows[1:]
    parts = [
        _box(_LEFT, 14, 150, "analysis", "beside"),
        _box(_LEFT + 160, 14, 150, "launch", "beside"),
        _explain(14, "tables and figures of runs; sweeps on machines and clusters. Neither imports the other."),
    ]
    y: float = _TOP
    names = ", ".join(rows[0])
    parts += [_box(_LEFT, y, 310, "commands", "command"), _explain(y, f"python -m ordinalclip.{{{names}}}")]
    for row in rooms:
        y += _ROW
        wide = (310 - 5 * (len(row) - 1)) / len(row)
        for place, room in enumerate(row):
            line = first_line(ROOT / "ordinalclip" / room)
            parts.append(_box(_LEFT + place * (wide + 5), y, wide, room, "room"))
            parts.append(_explain(y + place * _LINE, line if len(row) == 1 else f"{room}: {line}"))
        y += (len(row) - 1) * _LINE
    height = y + _ROW + 14
    arrow = (
        f'<path d="M20 20 V{height - 30}" stroke="#888" stroke-width="1.5" fill="none"/>'
        f'<path d="M15 {height - 38} l5 12 l5 -12" stroke="#888" stroke-width="1.5" fill="none"/>'
        f'<text x="12" y="{height / 2}" transform="rotate(-90 12 {height / 2})" fill="#666">imports</text>'
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'font-family="Helvetica, Arial, sans-serif" font-size="13">'
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    )
    return "\n".join([head, arrow, *parts, "</svg>", ""])


def _box(x: float, y: float, width: float, name: str, kind: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="28" rx="5" fill="{_FILL[kind]}" stroke="#b9b09a"/>'
        f'<text x="{x + width / 2:g}" y="{y + 19:g}" text-anchor="middle" font-weight="bold">{escape(name)}</text>'
    )


def _explain(y: float, text: str) -> str:
    return f'<text x="{_TEXT}" y="{y + 19:g}" fill="#444" font-size="12">{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
