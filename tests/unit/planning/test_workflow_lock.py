"""Whose turn it is in a folder: one living call's; a dead one's locks go, another machine's stay."""

import platform
import signal
import subprocess
import sys

import pytest

from filter_sparsity.errors import UserError
from filter_sparsity.planning import workflow_lock

HOLDER = "import sys, time; from pathlib import Path; from filter_sparsity.planning import workflow_lock\n"
HOLDER += "print(workflow_lock.take([], Path(sys.argv[1])), flush=True); {then}; time.sleep(60)"


@pytest.fixture
def folder(tmp_path):
    return tmp_path / ".snakemake"


@pytest.fixture
def holder(folder):
    """Start a process that takes its turn, and does something more."""
    started = []

    def start(then="pass"):
        program = HOLDER.format(then=then)
        started.append(
            subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True)
        )
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(autouse=True)
def own():
    """What the test itself takes is let go of."""
    yield
    while workflow_lock._lock_files:
        workflow_lock._lock_files.pop().close()


def leave_locks(folder):
    (folder / "locks").mkdir()
    (folder / "locks/0.output.lock").write_text("results/a\n")


def test_a_second_call_is_refused_while_the_first_lives(folder, holder):
    first, _ = holder()
    leave_locks(folder)
    with pytest.raises(UserError) as error:
        workflow_lock.take(["snakemake", "report"], folder)
    said = f"another Snakemake is at work in this folder (process {first.pid} on {platform.node()}): "
    assert str(error.value) == said + "let it end, or stop it"
    assert (folder / "locks").exists()
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert workflow_lock.take(["snakemake", "report"], folder)
    assert not (folder / "locks").exists()


def test_the_jobs_of_a_dead_call_hold_nothing(folder, holder):
    first, _ = holder("import subprocess; subprocess.Popen(['sleep', '5'], stdout=subprocess.DEVNULL)")
    first.kill()
    first.wait()
    assert workflow_lock.take([], folder) is False  # there were no locks
    assert workflow_lock._lock_files


LOOKING = ["-n", "-np", "-nq", "-pn", "-kn", "-nj2", "--dry-run", "--dryrun", "--lint", "--summary", "-S", "-D", "-l"]
LOOKING += ["--list", "--list-rules", "--list-target-rules", "--dag", "--rulegraph", "--list-untracked", "--nolock"]
LOOKING += ["--list-changes code", "--config n=1 -n", "--configfile config/n.yaml --detailed-summary", "-n -- all"]
WRITING = ["", "report", "--cores 2", "-c2", "-j2", "-k", "-kp", "--unlock", "-n --unlock", "--touch", "--config n=1"]
WRITING += ["-- -n", "page --report page.html --report-after-run", "--no-such-option -n", "--forcerun train"]
WRITING += ["--cleanup-metadata results/a", "--delete-all-output", "--printshellcmds"]


@pytest.mark.parametrize("arguments", LOOKING)
def test_a_call_that_only_looks_is_known(arguments):
    assert workflow_lock.is_read_only(["snakemake", *arguments.split()])


@pytest.mark.parametrize("arguments", WRITING)
def test_any_other_call_writes(arguments):
    assert not workflow_lock.is_read_only(["snakemake", *arguments.split()])


def test_a_call_that_only_looks_takes_no_lock_and_drops_none(folder, holder):
    first, _ = holder()
    leave_locks(folder)
    for arguments in (["-np"], ["report", "--dry-run"]):
        assert workflow_lock.take(["snakemake", *arguments], folder) is False
    first.kill()
    first.wait()
    assert workflow_lock.take(["snakemake", "-np"], folder) is False
    assert not workflow_lock._lock_files
    assert (folder / "locks/0.output.lock").exists()


def test_the_locks_of_another_machine_stay(folder):
    folder.mkdir()
    leave_locks(folder)
    (folder / "at-work").write_text("17 on elsewhere")
    assert workflow_lock.take([], folder) is False
    assert (folder / "locks/0.output.lock").exists()


def test_no_lock_is_dropped_where_nobody_took_a_turn_before(folder):
    folder.mkdir()
    leave_locks(folder)
    assert workflow_lock.take([], folder) is False
    assert (folder / "locks/0.output.lock").exists()


def test_a_folder_that_cannot_be_written_is_left_to_snakemake(tmp_path):
    (tmp_path / "file").touch()
    assert workflow_lock.take([], tmp_path / "file" / ".snakemake") is False
