"""A command that takes words, as a shell sees it."""

import subprocess
import sys


def test_a_pipe_that_is_closed_is_no_error() -> None:
    code = 'from ordinalclip.command import run_command as r; r(lambda _: print("x\\n" * 10**6), "", needs_words=False)'
    line = f"set -o pipefail; {sys.executable} -c '{code}' | head -n 1"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "x\n", "")
