"""report.html: everything is in it, nothing is fetched, and what must be told is told."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from ordinalclip.errors import ConfigError
from ordinalclip.page import write_reports
from ordinalclip.report.page import changed_settings, chosen_options, page, write_page
from ordinalclip.runs.run import Run
from ordinalclip.tracking import MLflowMirror
from ordinalclip.tracking.store import Store
from tests.conftest import Compose
from tests.made_record import made_record

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class Checked(HTMLParser):
    """Fails at a tag that is not closed where it should be; keeps the text and what is referred to."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def checked(html: str) -> Checked:
    parser = Checked()
    parser.feed(html)
    assert parser.open == []
    return parser


@pytest.fixture
def run(tmp_path: Path, compose_cfg: Compose) -> Run:
    return made_record(tmp_path, compose_cfg("prompt=rank", "lr=2e-3"), num_ranks=5, num_images=80)


@pytest.mark.slow
def test_it_tells_the_scores_and_needs_no_network(run: Run) -> None:
    (run.directory / "figures").mkdir()
    Image.new("RGB", (2070, 30)).save(run.directory / "figures" / "similarity.png", dpi=(300, 300))
    Image.new("RGB", (990, 30)).save(run.directory / "figures" / "worst_images.png", dpi=(300, 300))
    html = page(run)
    found = checked(html)
    text = " ".join(" ".join(found.text).split())
    stats = run.read_json("test_stats.json")
    for name in ("mae", "mae_argmax", "qwk", "rps", "constant_mae"):
        assert f"{stats[f'test/{name}']:.3f}" in text
    assert f"{100 * stats['test/accuracy']:.1f} %" in text
    assert "python -m ordinalclip.train prompt=rank lr=2e-3" in text
    assert "duplicates: 7 test images (12.5%)" in text
    assert "before training" in text
    assert "abcdef012345" in text
    assert "colour" in text  # the subgroups
    assert len(found.references) == 2
    assert found.references[0].startswith("data:image/png;base64,")
    assert found.references[1].startswith("data:image/jpeg;base64,")
    assert not re.search(r"https?:|//|url\(|@import|<script", re.sub(r"data:[^\"]*", "", html))
    assert "selected on test" not in text


@pytest.mark.slow
def test_what_was_typed_cannot_become_markup(run: Run) -> None:
    (run.directory / "overrides.json").write_text(json.dumps(["tags=[<b>&</b>]"]))
    html = page(run)
    assert "<b>&</b>" not in html
    assert "tags=[<b>&</b>]" in " ".join(checked(html).text)


@pytest.mark.slow
def test_a_run_that_was_selected_on_test_says_so(tmp_path: Path, compose_cfg: Compose) -> None:
    made = made_record(tmp_path, compose_cfg("protocol=on_test"), num_ranks=3)
    assert "selected on test" in page(made)


@pytest.mark.slow
def test_a_record_with_little_in_it_is_told_as_far_as_it_goes(run: Run) -> None:
    for name in ("test_stats", "test_details", "ordinality", "leakage", "provenance", "overrides", "labels"):
        (run.directory / f"{name}.json").unlink()
    (run.directory / "manifest.parquet").unlink()
    assert "There are no test scores" in " ".join(checked(page(run)).text)


@pytest.mark.slow
def test_it_is_written_whole(run: Run) -> None:
    target = write_page(run)
    assert target == run.directory / "report.html"
    assert not list(run.directory.glob(".*"))
    checked(target.read_text(encoding="utf-8"))


def test_settings_that_differ(compose_cfg: Compose) -> None:
    cfg = compose_cfg(
        "prompt=rank", "prompt.num_base_ranks=2", "lr=2e-3", "optimizer=adamw", "trainable.rank=1e-2", small=False
    )
    assert chosen_options(cfg) | {"dataset": "", "backbone": "", "protocol": ""} == {
        "dataset": "",
        "protocol": "",
        "backbone": "",
        "prompt": "rank",
        "loss": "ce_kl",
        "optimizer": "adamw",
        "schedule": "cosine",
        "trainer": "auto",
    }
    found = {key: (value, default) for key, value, default in changed_settings(cfg)}
    assert found == {
        "lr": ("0.002", "1e-3"),
        "trainable.rank": ("0.01", "0.002"),
        "prompt.num_base_ranks": ("2", "3"),
    }


def test_the_command_refuses_what_it_does_not_know(run: Run) -> None:
    with pytest.raises(ConfigError, match="no such key"):
        write_reports([f"run={run.directory}", "epochs=3"])
    with pytest.raises(ConfigError, match="which run"):
        write_reports(["paths.runs=x"])


@pytest.mark.slow
def test_all_finished_runs_of_a_sweep(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    root = run.directory.parent
    (root / "sweeps").mkdir()
    unfinished = Run(root / "made-1111111111")
    unfinished.directory.mkdir()
    for name, runs in (("all", [run, unfinished]), ("none", [unfinished])):
        content = {"runs": {one.directory.name: [] for one in runs}}
        (root / "sweeps" / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("ordinalclip.report.gallery.draw_figures", lambda run, names: [])
    assert write_reports(["sweep=all", f"paths.runs={root}"]) == [run.directory / "report.html"]
    for words, told in (
        (["sweep=none"], "sweep=none: none of its runs is finished"),
        (["sweep=al"], "sweep=al: there is no sweep al.*\n.*allowed: all, none"),
        (["sweep=all", f"run={run.directory}"], "both name runs"),
    ):
        with pytest.raises(ConfigError, match=told):
            write_reports([*words, f"paths.runs={root}"])


@pytest.mark.slow
def test_the_store_of_a_run_shows_its_figures_too(
    tmp_path: Path, compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **_: save(self, file, dpi=20))  # soon drawn
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run = made_record(tmp_path, compose_cfg("prompt=linear", "tracking=local", f"tracking.uri={uri}"), num_ranks=3)
    write_reports([f"run={run.directory}"])
    assert not (tmp_path / "mlflow.db").exists()  # a store that is not here is not begun
    shutil.rmtree(run.directory / "figures")
    (run.directory / "report.html").unlink()
    store = Store(uri, "ordinalclip")
    MLflowMirror(uri=uri, experiment="ordinalclip", every_s=0).sync(run, final=True)
    client, experiment_id = store.open()
    (shown,) = client.search_runs([experiment_id])
    assert client.list_artifacts(shown.info.run_id, "figures") == []
    write_reports([f"run={run.directory}"])
    assert "report.html" in {file.path for file in client.list_artifacts(shown.info.run_id)}
    assert "figures/pit.png" in {file.path for file in client.list_artifacts(shown.info.run_id, "figures")}
