"""The profile for clusters on a real Slurm: a controller and a node on loopback, with two made-up GPUs.

All its files and ports are the test's own: no other test sees it, and no cluster that this machine is in.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import yaml

from filter_sparsity.paths import TRAINED

pytestmark = [pytest.mark.slurm, pytest.mark.slow]
HASTE = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10")
NO_ACCOUNTS = ("--slurm-status-command", "squeue")  # there is no accounting database
DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun")
PROGRAM = Path(sys.executable).with_name("filter-sparsity")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
PATIENCE = 600.0  # seconds, for a machine that is busy

# One node that says it has 8 processors, and two partitions of it, of which one preempts the other's jobs.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=600
ReturnToService=2
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 CoresPerSocket=8 RealMemory=64000 Gres=gpu:2
PartitionName=usual Nodes=ALL Default=YES PriorityTier=1
PartitionName=urgent Nodes=ALL PriorityTier=10
"""


def until(what: str, holds: Callable[[], object], seconds: float = PATIENCE) -> object:
    """Wait until something is true, and give it."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.02)
    return found


class Slurm:
    """The clients of the Slurm in a folder: scripts that say which one is meant, and call the real ones."""

    def __init__(self, folder: Path) -> None:
        self.clients = folder / "bin"
        self.clients.mkdir()
        for name in CLIENTS:
            script = self.clients / name
            script.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            script.chmod(0o755)

    def idle(self) -> bool:
        """Whether the controller answers, and its node waits for jobs."""
        asked = [self.clients / "sinfo", "--noheader", "--format=%T"]
        return "idle" in subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def __call__(self, client: str, *arguments: str) -> str:
        done = subprocess.run([self.clients / client, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        return dict(re.findall(r"(\S+?)=(\S*)", self("scontrol", "show", "--oneliner", "job", number)))


@contextmanager
def daemon(log, *command: str) -> Iterator[subprocess.Popen]:
    """A process that runs within the block, and is ended by its id; also when pytest is killed."""
    command = ("setpriv", "--pdeathsig", "TERM", *command)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_ports() -> list[int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return [one.getsockname()[1], other.getsockname()[1]]


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    missing = [name for name in (*DAEMONS, *CLIENTS, "setpriv") if not shutil.which(name, path=SBIN)]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here: apt-get install --no-install-recommends slurm-wlm munge")
    munged, slurmctld, slurmd = (str(shutil.which(name, path=SBIN)) for name in DAEMONS)
    host = socket.gethostname().split(".")[0]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-")))  # a socket's path is short
        for name in ("state", "spool"):
            (folder / name).mkdir()
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(host=host, user=getpass.getuser(), ports=free_ports(), folder=folder)
        )
        (folder / "gres.conf").write_text("Name=gpu File=/dev/null\nName=gpu File=/dev/zero\n")
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        log = stack.enter_context((folder / "log").open("w"))
        options = [f"--{name}={folder}/munge.{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
        commands = (
            (munged, "--foreground", "--force", f"--key-file={folder}/key", *options),
            (slurmctld, "-D", "-c", "-f", str(configuration)),
            (slurmd, "-D", "-N", host, "-f", str(configuration)),
        )
        started = [stack.enter_context(daemon(log, *command)) for command in commands]
        clients = Slurm(folder)
        end = time.monotonic() + 60
        while not clients.idle():
            if time.monotonic() > end or any(process.poll() is not None for process in started):
                pytest.skip(f"Slurm does not run here: {(folder / 'log').read_text().splitlines()[-1:]}")
            time.sleep(0.1)
        yield clients
        clients("scancel", "--user", getpass.getuser())
        until("all jobs are over", lambda: not clients("squeue", "--noheader"))


@pytest.fixture
def cluster_project(project, slurm):
    """A project whose calls of Slurm's clients reach the test's."""
    project.environment["PATH"] = f"{slurm.clients}:{project.environment['PATH']}"
    return project


def settings(project, **changes) -> None:
    path = project.folder / "config/tiny_scale.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def call(*words: str) -> list[str]:
    """Snakemake as docs/slurm.md says, in a hurry."""
    profile = ["--profile", "profiles/slurm", *words, "--configfile", "config/tiny_scale.yaml"]
    return [sys.executable, "-m", "snakemake", *profile, *HASTE, *NO_ACCOUNTS]


def submitted(said: str) -> list[tuple[str, str]]:
    """The rule or group, and the number, of every job that Snakemake submitted."""
    return re.findall(r"/slurm_logs/(\w+)/(?:\S+/)?(\d+)\.log\)", said)


def trained(project) -> dict[str, bytes]:
    """The content of what trainings left, but for where and when that was."""
    runs = project.folder / "results/test/runs"
    return {str(path): path.read_bytes() for name in TRAINED[:3] for path in runs.glob(f"*/seed*/{name}")}


def trained_again_here(project) -> dict[str, bytes]:
    """The same runs, trained without Slurm."""
    runs = (project.folder / "results/test/runs").glob("*/seed*/provenance.json")
    targets = [str(path.relative_to(project.folder)) for path in runs]
    shutil.rmtree(project.folder / "results/test")
    done = project.tiny(*targets)
    assert done.returncode == 0, done.stderr[-2000:]
    return trained(project)


def test_a_figure_by_slurm_jobs(cluster_project, slurm):
    """Its trainings, which measure as well, run as Slurm jobs with what the profile asks for; all else runs here."""
    project = cluster_project
    settings(project, device="auto")  # asks for a GPU
    done = project.call(*call("figure2"))
    assert done.returncode == 0, done.stderr[-3000:]
    assert (project.folder / "results/test/figures/figure2.pdf").exists()
    asked = yaml.safe_load((project.folder / "profiles/slurm/config.yaml").read_text())["set-resources"]
    jobs = [(rule.removeprefix("rule_"), slurm.job(number)) for rule, number in submitted(done.stderr)]
    assert sorted(rule for rule, _ in jobs) == ["train", "train"]
    for rule, job in jobs:
        hours, minutes = divmod(asked[rule]["runtime"], 60)
        assert job["JobState"] == "COMPLETED"
        assert job["TimeLimit"] == f"{hours:02}:{minutes:02}:00"
        assert f"mem={asked[rule]['mem_mb']}M" in job["TRES"]
        assert (job["NumCPUs"], job["TresPerJob"], job["Requeue"]) == ("1", "gres:gpu:1", "1")
    trainings = [job for rule, job in jobs if rule == "train"]  # profiles/default's one GPU does not hold them up
    assert max(job["SubmitTime"] for job in trainings) < min(job["EndTime"] for job in trainings)
    by_slurm = trained(project)
    assert len(by_slurm) == 12  # files of two specs with two seeds
    assert trained_again_here(project) == by_slurm


def test_short_runs_packed_into_one_job(cluster_project, slurm):
    packed = call("table1", "--groups", "train=run", "--group-components", "run=8")
    done = cluster_project.call(*packed)
    assert done.returncode == 0, done.stderr[-3000:]
    [(group, number)] = submitted(done.stderr)
    assert group == "group_run_train"
    assert slurm.job(number)["NumCPUs"] == "2"  # two specs at a time
    assert len(trained(cluster_project)) == 12
    assert (cluster_project.folder / "results/test/tables/table1.csv").exists()


def test_a_training_goes_on_when_stopped_and_when_preempted(cluster_project, slurm):
    """Stopped by SIGTERM, as when its time is over, it is submitted again; preempted, it is the same job again."""
    project = cluster_project
    settings(project, steps=800, pack_seeds=False)
    project.verb("plan", "--config", "config/config.yaml", "--config", "config/tiny_scale.yaml", "--out", "plan.json")
    spec = next(iter(json.loads((project.folder / "plan.json").read_text())["specs"]))
    run = Path("results/test/runs") / spec / "seed0"
    said = project.folder / "said"

    def log() -> str:
        try:
            return (project.folder / run / "train.log").read_text()
        except FileNotFoundError:
            return ""

    def step() -> int:
        """From which a training went on that has made some steps more; else 0."""
        found = re.search(r"goes on from step ([\d,]+) .*\n.*epoch", log())
        return int(found[1].replace(",", "")) if found else 0

    def trainer(ready: Callable[[], object]) -> psutil.Process | None:
        """The process that trains, as soon as something is true. It is held still, else it might be done too soon."""
        for process in psutil.process_iter(["cmdline", "cwd"]) if ready() else ():
            words = process.info["cmdline"] or []
            if process.info["cwd"] == str(project.folder) and words[1:3] == [str(PROGRAM), "train"]:
                process.suspend()
                return process
        return None

    with said.open("w") as file:
        snakemake = subprocess.Popen(
            call(str(run / "provenance.json")),
            cwd=project.folder,
            env=project.environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        process = until("a training", lambda: trainer(lambda: "epoch" in log()))
        [(_, first)] = submitted(said.read_text())
        slurm("scancel", "--signal=TERM", first)
        process.resume()
        until("the training in another job", lambda: trainer(step))
        stopped_at = step()
        [_, (_, second)] = submitted(said.read_text())
        blocker = ("--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 600")
        urgent = slurm("sbatch", "--parsable", *blocker).strip()
        until("the urgent job", lambda: slurm.job(urgent)["JobState"] == "RUNNING")
        assert slurm.job(second)["JobState"] == "PENDING"
        assert slurm.job(second)["Restarts"] == "1"
        slurm("scancel", urgent)
        assert snakemake.wait(PATIENCE) == 0, said.read_text()[-3000:]
    finally:
        if snakemake.poll() is None:
            os.killpg(snakemake.pid, signal.SIGKILL)
            snakemake.wait()
    assert [number for _, number in submitted(said.read_text())] == [first, second]
    assert slurm.job(first)["JobState"] == "FAILED"
    assert slurm.job(second)["JobState"] == "COMPLETED"
    assert 0 < stopped_at < step() < 800
    by_slurm = trained(project)
    assert len(by_slurm) == 3
    assert trained_again_here(project) == by_slurm
