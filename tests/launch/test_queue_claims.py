"""A run is claimed by one submission, and free again when its job has gone or its submitter died."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launch.queue_claims import Claim, Claims, is_waiting
from launch.slurm_outcome import JobOutcome


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    with ThreadPoolExecutor(16) as pool:
        first = list(pool.map(lambda _: claims.take("ab", "x-ab", None), range(64)))
    (taken,) = [claim for claim in first if claim is not None]
    assert claims.read() == {"ab": taken}
    # The same where all of them found the same spent one.
    with ThreadPoolExecutor(16) as pool:
        second = [
            claim for claim in pool.map(lambda _: claims.take("ab", "x-ab", taken), range(64)) if claim is not None
        ]
    assert [claim.number for claim in second] == [2]
    assert claims.read() == {"ab": second[0]}
    assert [path.name for path in (tmp_path / "queued").iterdir()] == ["ab.0002.json"]


def test_what_becomes_of_a_claim(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.read() == {}
    claim = claims.take("ab", "x-ab", None, sweep="s")
    assert claim is not None
    assert is_waiting(claim, {})  # this process is about to submit it
    queued = claims.submitted(claim, slurm_id="17_3", plan=tmp_path / "plan", log=tmp_path / "log")
    assert claims.read() == {"ab": queued}
    assert (queued.sweep, queued.slurm_id, queued.number) == ("s", "17_3", 1)
    assert is_waiting(queued, {"17_3": JobOutcome("PENDING")})
    assert is_waiting(queued, {"17_3": JobOutcome("RUNNING")})
    assert is_waiting(queued, None)  # nobody can tell
    assert not is_waiting(queued, {"17_3": JobOutcome("CANCELLED")})
    assert not is_waiting(queued, {"17_2": JobOutcome("PENDING")})
    claims.end(queued, "cancelled")
    assert not is_waiting(claims.read()["ab"], {"17_3": JobOutcome("RUNNING")})
    claims.withdraw(queued)
    assert claims.read() == {}
    (tmp_path / "queued" / "cd.0001.json").write_text("{torn")
    assert claims.read() == {}


def test_the_claim_of_a_submitter_that_died(tmp_path: Path) -> None:
    code = "import pathlib, sys; from launch.queue_claims import Claims;"
    code += "Claims(pathlib.Path(sys.argv[1])).take('ab', 'x-ab', None)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    claim = Claims(tmp_path).read()["ab"]
    assert not is_waiting(claim, {})
    elsewhere = json.loads((tmp_path / "queued" / "ab.0001.json").read_text()) | {"host": "elsewhere"}
    assert is_waiting(Claim(**elsewhere), {})  # until it is too long ago
    assert not is_waiting(Claim(**(elsewhere | {"submitted": elsewhere["submitted"] - 3600})), {})
    assert claim.pid != os.getpid()


@pytest.mark.parametrize("name", ["queued", "other"])
def test_other_files_are_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / ".ab.0001-draft").write_text("x")
    assert Claims(tmp_path).read() == {}
