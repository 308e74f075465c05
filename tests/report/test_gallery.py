from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from ordinalclip.report.gallery import has_figures
from tests.conftest import Compose


@pytest.mark.slow
def test_a_run_of_a_sweep_is_drawn_when_somebody_looks(compose_cfg: Compose, capsys: pytest.CaptureFixture) -> None:
    job = prepare(compose_cfg("epochs=1", "prompt=linear"))
    run_job(job, in_sweep=True)
    assert not has_figures(job.run)
    checkpoint = job.run.best_checkpoint.stat().st_mtime_ns
    run_job(job)
    names = {path.name for path in (job.run.directory / "figures").iterdir()}
    assert names >= {
        "similarity.png",
        "similarity.svg",
        "confusion.png",
        "learning.png",
        "path.png",
        "worst_images.svg",
    }
    assert "interpolation.png" not in names  # a linear head has no base ranks
    report = (job.run.directory / "report.html").read_text(encoding="utf-8")
    assert f"{job.run.read_json('test_stats.json')['test/mae']:.3f}" in report
    drawn = (job.run.directory / "report.html").stat().st_mtime_ns
    run_job(job)
    assert (job.run.directory / "report.html").stat().st_mtime_ns == drawn
    assert job.run.best_checkpoint.stat().st_mtime_ns == checkpoint
    assert str(Path(job.run.directory).name) in capsys.readouterr().out


@pytest.mark.slow
def test_a_record_that_cannot_be_drawn_is_still_shown(
    compose_cfg: Compose,
    capsys: pytest.CaptureFixture,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda _, file, **__: file.touch())  # the other test sees them drawn
    job = prepare(compose_cfg("epochs=1", "prompt=linear"))
    run_job(job, in_sweep=True)
    (job.run.directory / "predictions.parquet").unlink()
    run_job(job)
    assert "figures/confusion was not drawn" in caplog.text
    assert (job.run.directory / "figures" / "similarity.png").exists()
    assert "constant predictor" in capsys.readouterr().out
