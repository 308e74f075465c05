import pytest

from launch.devices import LocalSettings, Slot, describe_slots, divide_into_slots, group_gpus
from ordinalclip.config.signatures import check_target
from ordinalclip.errors import ConfigError


@pytest.fixture(autouse=True)
def nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def settings(jobs: int | None = None, jobs_per_gpu: int = 1, threads: int | None = None) -> LocalSettings:
    return LocalSettings(jobs, jobs_per_gpu, threads)


def test_every_core_is_a_place_where_nothing_is_said() -> None:
    assert divide_into_slots(settings(), [0, 2, 5], []) == [Slot((0,), 1), Slot((2,), 1), Slot((5,), 1)]


def test_cores_are_shared_out_and_no_core_is_in_two_shares() -> None:
    assert divide_into_slots(settings(jobs=2), range(5), []) == [Slot((0, 1), 2), Slot((2, 3), 2)]
    assert divide_into_slots(settings(threads=2), range(5), []) == [Slot((0, 1), 2), Slot((2, 3), 2)]
    assert divide_into_slots(settings(jobs=2, threads=1), range(4), []) == [Slot((0, 1), 1), Slot((2, 3), 1)]


def test_more_runs_than_cores_are_not_pinned() -> None:
    assert divide_into_slots(settings(jobs=3), [0, 1], []) == [Slot((0, 1), 1)] * 3


def test_the_environments_number_of_threads_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert divide_into_slots(settings(), range(8), []) == [Slot((n, n + 1), 2) for n in (0, 2, 4, 6)]
    assert divide_into_slots(settings(jobs=2, threads=3), range(8), [])[0].threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")  # OpenMP's form for nested regions: not ours to read
    assert divide_into_slots(settings(), range(2), [])[0].threads == 1


def test_a_run_a_gpu_and_several_where_asked() -> None:
    assert divide_into_slots(settings(), range(8), ["0", "1"]) == [
        Slot((0, 1, 2, 3), 4, "0"),
        Slot((4, 5, 6, 7), 4, "1"),
    ]
    four = divide_into_slots(settings(jobs_per_gpu=2), range(8), ["3", "GPU-1f"])
    assert [slot.gpu for slot in four] == ["3", "GPU-1f", "3", "GPU-1f"]
    assert sorted(core for slot in four for core in slot.cores) == list(range(8))
    assert [slot.gpu for slot in divide_into_slots(settings(jobs=1), range(2), ["0", "1"])] == ["0"]


def test_a_run_on_several_devices_has_as_many_gpus() -> None:
    assert group_gpus([], 2) == []
    assert group_gpus(["0", "1"], 1) == ["0", "1"]
    slots = divide_into_slots(settings(), range(4), group_gpus(["0", "1", "2", "GPU-1f", "4"], 2))
    assert [slot.gpu for slot in slots] == ["0,1", "2,GPU-1f"]
    assert describe_slots(slots, 9) == "2 at a time, on 4 GPUs, 2 threads each"
    with pytest.raises(ConfigError, match=r"(?s)trainer\.devices=2.*there is 1 GPU here"):
        group_gpus(["0"], 2)
    with pytest.raises(ConfigError, match="4 GPUs hold 2 at a time"):
        divide_into_slots(settings(jobs=3), range(4), group_gpus(["0", "1", "2", "3"], 2))


def test_more_runs_than_the_gpus_hold() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 GPUs hold 2 at a time.*jobs_per_gpu=3"):
        divide_into_slots(settings(jobs=5), range(8), ["0", "1"])


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": "all"}, {"jobs_per_gpu": None}, {"threads": 1.5}])
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    given = {"jobs": None, "jobs_per_gpu": 1, "threads": None} | wrong
    with pytest.raises(ConfigError, match=rf"hydra\.launcher\.{next(iter(wrong))}="):
        check_target({"_target_": "launch.devices.LocalSettings"} | given, "hydra.launcher")
