import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.checks import check_compiler


def test_a_missing_compiler_is_said_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"compile=true.*C\+\+ compiler"):
        check_compiler()
