"""Files appear whole or not at all, and what killed writers leave goes."""

import platform
import signal
import subprocess
import sys

import pytest

from filter_sparsity.files import write_bytes

WRITER = """
import sys, time
from pathlib import Path
from filter_sparsity.files import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    print(temporary.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def writer(tmp_path):
    """Start a process that has written half a file and goes on; its part's name."""
    started = []

    def start(name):
        command = [sys.executable, "-c", WRITER, str(tmp_path / name)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_a_writer_drops_what_a_killed_one_left_and_no_other(tmp_path, writer):
    (killed, left), (_, living), (other, others) = writer("a"), writer("a"), writer("ab")
    for process in (killed, other):
        process.send_signal(signal.SIGKILL)
        process.wait()
    elsewhere = f".a.not-{platform.node()}.{killed.pid}.part"
    (tmp_path / elsewhere).touch()
    assert {path.name for path in tmp_path.iterdir()} == {left, living, others, elsewhere}
    write_bytes(tmp_path / "a", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"a", living, others, elsewhere}
    assert (tmp_path / "a").read_bytes() == b"whole"
