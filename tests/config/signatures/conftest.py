"""A package of our own, made for one test: its modules must never be imported."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ordinalclip.config import source


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    name = f"own_{tmp_path.name}"
    monkeypatch.setattr(source, "OWN_PACKAGES", (name,))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()

    def write(**modules: str) -> str:
        for module, text in modules.items():
            path = tmp_path / name / f"{module if module == '__init__' else module.replace('__', '/')}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text("import a_module_that_is_not_there\n" + text, encoding="utf-8")
        return name

    yield write
    assert not [module for module in sys.modules if module.startswith(f"{name}.")]
