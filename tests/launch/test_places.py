import pytest

from launch.local import described
from launch.local_worker import LocalSettings, Place, divide, in_groups
from ordinalclip.config.signatures import check_target
from ordinalclip.errors import ConfigError


@pytest.fixture(autouse=True)
def nothing_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def settings(jobs: int | None = None, jobs_per_gpu: int = 1, threads: int | None = None) -> LocalSettings:
    return LocalSettings(jobs, jobs_per_gpu, threads)


def test_every_core_is_a_place_where_nothing_is_said() -> None:
    assert divide(settings(), [0, 2, 5], []) == [Place((0,), 1), Place((2,), 1), Place((5,), 1)]


def test_cores_are_shared_out_and_no_core_is_in_two_shares() -> None:
    assert divide(settings(jobs=2), range(5), []) == [Place((0, 1), 2), Place((2, 3), 2)]
    assert divide(settings(threads=2), range(5), []) == [Place((0, 1), 2), Place((2, 3), 2)]
    assert divide(settings(jobs=2, threads=1), range(4), []) == [Place((0, 1), 1), Place((2, 3), 1)]


def test_more_runs_than_cores_are_not_pinned() -> None:
    assert divide(settings(jobs=3), [0, 1], []) == [Place((0, 1), 1)] * 3


def test_the_environments_number_of_threads_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert divide(settings(), range(8), []) == [Place((n, n + 1), 2) for n in (0, 2, 4, 6)]
    assert divide(settings(jobs=2, threads=3), range(8), [])[0].threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")  # OpenMP's form for nested regions: not ours to read
    assert divide(settings(), range(2), [])[0].threads == 1


def test_a_run_a_gpu_and_several_where_asked() -> None:
    assert divide(settings(), range(8), ["0", "1"]) == [Place((0, 1, 2, 3), 4, "0"), Place((4, 5, 6, 7), 4, "1")]
    four = divide(settings(jobs_per_gpu=2), range(8), ["3", "GPU-1f"])
    assert [place.gpu for place in four] == ["3", "GPU-1f", "3", "GPU-1f"]
    assert sorted(core for place in four for core in place.cores) == list(range(8))
    assert [place.gpu for place in divide(settings(jobs=1), range(2), ["0", "1"])] == ["0"]


def test_a_run_on_several_devices_has_as_many_gpus() -> None:
    assert in_groups([], 2) == []
    assert in_groups(["0", "1"], 1) == ["0", "1"]
    places = divide(settings(), range(4), in_groups(["0", "1", "2", "GPU-1f", "4"], 2))
    assert [place.gpu for place in places] == ["0,1", "2,GPU-1f"]
    assert described(places, 9) == "2 at a time, on 4 GPUs, 2 threads each"
    with pytest.raises(ConfigError, match=r"(?s)trainer\.devices=2.*there is 1 GPU here"):
        in_groups(["0"], 2)
    with pytest.raises(ConfigError, match="4 GPUs hold 2 at a time"):
        divide(settings(jobs=3), range(4), in_groups(["0", "1", "2", "3"], 2))


def test_more_runs_than_the_gpus_hold() -> None:
    with pytest.raises(ConfigError, match=r"(?s)2 GPUs hold 2 at a time.*jobs_per_gpu=3"):
        divide(settings(jobs=5), range(8), ["0", "1"])


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": "all"}, {"jobs_per_gpu": None}, {"threads": 1.5}])
def test_wrong_settings_are_named(wrong: dict[str, object]) -> None:
    given = {"jobs": None, "jobs_per_gpu": 1, "threads": None} | wrong
    with pytest.raises(ConfigError, match=rf"hydra\.launcher\.{next(iter(wrong))}="):
        check_target({"_target_": "launch.local_worker.LocalSettings"} | given, "hydra.launcher")
