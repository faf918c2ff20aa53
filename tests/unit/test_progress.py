"""When long work stops."""

import os
import signal
import subprocess
import sys

import pytest

STOPPING = """
import math, os, signal
from filter_sparsity.progress import stop_reason
stop = stop_reason(math.inf)
os.kill(os.getpid(), signal.SIGHUP)
print(stop())
"""


@pytest.mark.parametrize(("before", "said"), [(signal.SIG_DFL, "SIGHUP"), (signal.SIG_IGN, "")])
def test_a_terminal_that_closes_stops_work_unless_nohup(before, said):
    def prepare() -> None:
        signal.signal(signal.SIGHUP, before)

    done = subprocess.run(
        [sys.executable, "-c", STOPPING], preexec_fn=prepare, env=os.environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"{said}\n"), done.stderr
