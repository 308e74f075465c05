"""The page: what stands between its marks is written anew, what people wrote around them stays.

A mark is a line `<!-- numbers: NAME -->`, and what belongs to it ends with `<!-- /numbers -->`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

_END = "<!-- /numbers -->"
_SECTION = re.compile(r"^<!-- numbers: (?P<name>[\w ]+) -->\n.*?^<!-- /numbers -->$", re.MULTILINE | re.DOTALL)


def write_page(path: Path, sections: Mapping[str, str], template: str) -> None:
    """Puts sections into the page, or into a new one.

    Args:
        path: of the page.
        sections: name → Markdown. Those that the page has no mark for are left out.
        template: the page where there is none yet.
    """
    page = path.read_text(encoding="utf-8") if path.exists() else template
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(filled(page, sections), encoding="utf-8")


def filled(page: str, sections: Mapping[str, str]) -> str:
    """The page with its sections replaced; marks that nothing is known for keep what they have."""

    def replace(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in sections:
            return found[0]
        return f"<!-- numbers: {name} -->\n{sections[name]}\n{_END}"

    return _SECTION.sub(replace, page)


def empty_template(names: Mapping[str, str]) -> str:
    """A page of headings and empty marks.

    Args:
        names: section → heading.
    """
    parts = ["# Evidence", ""]
    for name, heading in names.items():
        parts += [f"## {heading}", "", f"<!-- numbers: {name} -->", _END, ""]
    return "\n".join(parts)
