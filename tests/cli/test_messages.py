import pytest

from ordinalclip.cli.command import report_error
from ordinalclip.errors import ConfigError

REFUSED = ConfigError("backbone.grid", 3, "build_tiny has no such setting", allowed="width, size")


def test_a_key_of_an_experiment_names_it_and_the_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_error(REFUSED, ["experiment=gauge", "backbone=tiny"]) == 2
    said = capsys.readouterr().err
    assert "experiment=gauge sets it for a backbone of its own; add ~backbone.grid to go without it" in said


@pytest.mark.parametrize(
    "overrides",
    [["backbone=tiny"], ["experiment=gauge"], ["experiment=gauge", "backbone=tiny", "backbone.grid=3"]],
)
def test_a_key_that_was_typed_is_the_users_own(overrides: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    report_error(REFUSED, overrides)
    assert "experiment=" not in capsys.readouterr().err
