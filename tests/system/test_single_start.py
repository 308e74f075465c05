"""A run on several devices that srun starts more than once."""

import pytest

from ordinalclip.errors import ConfigError
from ordinalclip.preparation.prepare import check_settings
from tests.conftest import Compose


@pytest.mark.slow
def test_a_run_on_two_devices_in_one_of_two_tasks_is_refused(
    compose_cfg: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    check_settings(compose_cfg())  # on one device: tasks may be runs of their own
    with pytest.raises(ConfigError, match="srun started this 2 times") as caught:
        check_settings(compose_cfg("trainer.devices=2"))
    assert "srun -n1 --gpus=2" in str(caught.value)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    check_settings(compose_cfg("trainer.devices=2"))
