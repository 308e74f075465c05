"""A finished run on images that were made worse."""

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.evaluate import evaluate
from ordinalclip.execution.job import run_job
from ordinalclip.preparation.prepare import prepare
from tests.conftest import Compose


@pytest.mark.slow
def test_evaluation_of_a_corruption(compose_cfg: Compose) -> None:
    job = prepare(compose_cfg("epochs=1"))
    run_job(job, in_sweep=True)
    words = [f"run={job.run.directory}", "trainer=cpu", *(f"paths.{k}={v}" for k, v in job.cfg["paths"].items())]
    clean = evaluate(words)
    worse = evaluate([*words, "corruption=noise", "severity=5"])
    assert worse["test/num_images"] == clean["test/num_images"]
    assert worse["test/rps"] != clean["test/rps"]
    assert worse["test/constant_mae"] == clean["test/constant_mae"]  # the training images stayed
    assert len(list((job.run.directory / "evaluations").glob("gauge-noise5-test-*"))) == 1


@pytest.mark.parametrize(
    ("words", "key", "allowed"),
    [
        (["corruption=fog", "severity=1"], "corruption", "blur"),
        (["corruption=blur"], "severity", "1, 2, 3, 4, 5"),
        (["corruption=blur", "severity=6"], "severity", "5"),
        (["severity=2"], "severity", "corruption=blur"),
    ],
)
def test_what_is_no_corruption(words: list[str], key: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate(["run=x", *words])
    assert caught.value.key == key
    assert allowed in caught.value.allowed
