import pytest


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are compared word by word, which lines that are folded to 80 columns would not allow."""
    monkeypatch.setenv("COLUMNS", "160")
