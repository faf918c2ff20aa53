"""Faults injected into the pipeline: kills at random moments, two calls at once, full and read-only disks, old clocks.

Every part uses copies of the project at the scale of the tests, ends with the ordinary command, and holds what it made
against what an undisturbed call made: tables, verdicts, weights and prepared data byte by byte. A part returns its
counts; what went wrong is in `Campaign.trouble`.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil

from helpers.projects import Project, copy
from helpers.surroundings import hostile_home, hostile_name, read_only_litter

COMMAND = [sys.executable, "-m", "snakemake", "--cores", "2", "report", "--configfile", "config/tiny_scale.yaml"]
SAME = ("test/tables/*.csv", "test/tables/*.tex", "test/verdict/*", "test/figures/*", "test/simulations/*.csv",
        "test/runs/*/*/*.safetensors", "test/runs/*/*/*.csv", "data/*.safetensors", "data/renders/*")  # fmt: skip
WHY = ("No space left", "Read-only file system", "Write-protected output files")
REFUSAL = "error: another Snakemake is at work in this folder (process "


def same(project: Project) -> dict[str, bytes]:
    """The files that must be equal, byte by byte, however they came to be, below results/."""
    results = project.folder / "results"
    return {str(path.relative_to(results)): path.read_bytes() for glob in SAME for path in results.glob(glob)}


def made(project: Project) -> set[str]:
    """All that a call made, below results/, but for what it said."""
    results = project.folder / "results"
    return {str(path.relative_to(results)) for path in results.rglob("*") if path.is_file() and path.suffix != ".log"}


class Campaign:
    """Random choices from one seed, and a finished project to hold everything against."""

    def __init__(self, folder: Path, seed: int, finished: Project | None = None) -> None:
        self.folder, self.seed, self.chance = folder, seed, random.Random(seed)
        self.trouble: list[str] = []
        self.made = 0
        if finished is None:
            finished = self.fresh()
            done = self.wait(self.start(finished))
            assert done == 0, self.said(finished)[-3000:]
        self.finished, self.reference, self.made_of_it = finished, same(finished), made(finished)
        assert any(name.startswith("test/tables/") for name in self.reference)

    def fresh(self) -> Project:
        self.made += 1
        folder = self.folder / f"project{self.made}"
        folder.mkdir(parents=True)
        return copy(folder)

    def again(self) -> Project:
        """A copy of the finished project, modification times and Snakemake's memory included."""
        self.made += 1
        folder = self.folder / f"project{self.made}"
        shutil.copytree(self.finished.folder, folder)
        return Project(folder)

    def start(self, project: Project, log: str = "said.log") -> subprocess.Popen[bytes]:
        with (project.folder / log).open("wb") as file:
            return subprocess.Popen(
                COMMAND, cwd=project.folder, env=project.environment, stdout=file, stderr=file, start_new_session=True
            )

    @staticmethod
    def wait(process: subprocess.Popen[bytes]) -> int:
        return process.wait(timeout=1200)

    @staticmethod
    def said(project: Project, log: str = "said.log") -> str:
        return (project.folder / log).read_text(errors="replace")

    def call(self, project: Project) -> tuple[int, str]:
        code = self.wait(self.start(project))
        return code, self.said(project)

    def complain(self, what: str, said: str = "") -> None:
        self.trouble.append(f"{what}\n{said}".strip())

    def judge(self, what: str, project: Project, said: str | None = None) -> bool:
        """Whether what lies there is as it should be; and, after a call that worked and `said` this, all of it."""
        found = same(project)
        wrong = [name for name, content in found.items() if self.reference.get(name) != content]
        missing = sorted(self.made_of_it - made(project)) if said is not None else []
        if wrong or missing:
            self.complain(f"{what}: wrong {wrong}, missing {missing}", said or "")
        return not (wrong or missing)

    def ordinary(self, what: str, project: Project) -> bool:
        """The ordinary command works and ends in what an undisturbed call makes."""
        code, said = self.call(project)
        if code:
            self.complain(f"{what}: the ordinary command fails", said)
        return code == 0 and self.judge(what, project, said)

    def run(self, part: str, *count: int) -> Counter[str]:
        """A part of the campaign, whose choices depend on the seed alone and not on the parts before it."""
        self.chance.seed(f"{self.seed} {part}")
        return getattr(self, part)(*count)

    # Kills

    def kills(self, count: int, longest: float = 14) -> Counter[str]:
        """kill -9 at random moments, over and over; each is followed by the ordinary command at once."""
        counts: Counter[str] = Counter()
        kinds = [self.main, self.everything, self.job, self.writing]
        project, done = self.fresh(), 0
        process = self.start(project)
        while True:
            kind = self.chance.choice(kinds)
            if done < count and kind(process, self.chance.uniform(1.5, longest)):
                done += 1
                print(f"kill {done} of {count}: {kind.__doc__}", file=sys.stderr, flush=True)
                counts[f"kill -9: {kind.__doc__}"] += 1
                killed_main = process.poll() == -signal.SIGKILL
                if self.wait(process) and not killed_main and "Traceback" in self.said(project):
                    self.complain(f"{kind.__doc__} killed: a traceback", self.said(project))
                if self.judge(f"{kind.__doc__} killed", project):
                    counts["  folders right at once after a kill"] += 1
            elif done < count and process.poll() is None:
                continue  # nothing to kill at that moment
            elif code := self.wait(process):
                self.complain(f"a call that was not killed ended with {code}", self.said(project))
                counts["  ordinary commands that failed"] += 1
                if counts["  ordinary commands that failed"] > 3:
                    return counts
            else:
                counts["  whole reports equal byte by byte"] += self.judge("after kills", project, self.said(project))
                orphans(project.folder)
                if litter := [path.name for path in (project.folder / "results").rglob(".*.part")]:
                    self.complain(f"after kills: {litter} is left")
                shutil.rmtree(project.folder)
                if done >= count:
                    return counts
                project = self.fresh()
            process = self.start(project)

    def main(self, process: subprocess.Popen[bytes], after: float) -> bool:
        """Snakemake itself"""
        return not ended(process, after) and kill(process.pid)

    def everything(self, process: subprocess.Popen[bytes], after: float) -> bool:
        """Snakemake and all its jobs at once"""
        if ended(process, after):
            return False
        family = [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
        killed = [kill(pid) for pid in family]
        return killed[0]

    def job(self, process: subprocess.Popen[bytes], after: float) -> bool:
        """a process of a job"""
        if ended(process, after):
            return False
        family = psutil.Process(process.pid).children(recursive=True)
        return bool(family) and kill(self.chance.choice(family).pid)

    def writing(self, process: subprocess.Popen[bytes], after: float) -> bool:
        """a job while it writes a file"""
        if ended(process, after / 4):
            return False
        results = Path(str(psutil.Process(process.pid).cwd())) / "results"
        end = time.monotonic() + 20
        while process.poll() is None and time.monotonic() < end:
            for part in results.rglob(".*.part"):
                pid = int(part.name.split(".")[-2])
                if kill(self.chance.choice([pid, process.pid])):
                    return True
        return False

    # Other hands

    def two_at_once(self, count: int) -> Counter[str]:
        """Two calls start at once in one folder: one works, the other says so in one line, or finds all done."""
        counts: Counter[str] = Counter()
        for _ in range(count):
            project = self.again()
            shutil.rmtree(project.folder / "results/test/tables")
            record = self.chance.choice(sorted(project.folder.glob("results/test/runs/*/*/record.json")))
            record.unlink()
            processes = []
            for log in ("one.log", "two.log"):
                processes.append(self.start(project, log))
                time.sleep(self.chance.choice([0, 0.2, 1, 3]))
            codes = [self.wait(process) for process in processes]
            said = [self.said(project, log) for log in ("one.log", "two.log")]
            refused = sum(REFUSAL in text or "(it has just begun)" in text for text in said)
            good = sorted(codes) == [0, refused] and not any("Traceback" in text for text in said)
            if not good:
                self.complain(f"two at once ended with {codes}", "\n".join(said))
            counts[
                "two calls at once: the second refused in one line" if refused else "two calls, one after the other"
            ] += good and self.judge("two at once", project, "\n".join(said))
            shutil.rmtree(project.folder)
        return counts

    def stale_locks(self) -> Counter[str]:
        """A lock that a dead Snakemake left goes by itself; that of another machine is left to the user."""
        counts: Counter[str] = Counter()
        for host in (os.uname().nodename, "elsewhere"):
            project = self.again()
            shutil.rmtree(project.folder / "results/test/tables")
            memory = project.folder / ".snakemake"
            (memory / "locks").mkdir(exist_ok=True)
            (memory / "locks/0.output.lock").write_text("results/test/tables/table1.csv\n")
            (memory / "at-work").write_text(f"999999 on {host}")
            if host == "elsewhere":
                code, said = self.call(project)
                counts["stale lock of another machine: refused"] += code != 0 and "--unlock" in said
                assert project.tiny("--unlock").returncode == 0
            counts["stale lock: made whole"] += self.ordinary("stale lock", project)
        return counts

    def disks(self, full: int) -> Counter[str]:
        """The results folder on a small disk that gets full, and on one that is read-only; then on a good one."""
        counts: Counter[str] = Counter()
        for size in [None, *(self.chance.randrange(40_000, 3_000_000, 4096) for _ in range(full))]:
            project = self.fresh() if size else self.again()
            results = project.folder / "results"
            results.mkdir(exist_ok=True)
            shutil.rmtree(results / "test/tables", ignore_errors=True)  # so that there is something to write
            kind = "full disk" if size else "read-only disk"
            with Mounted(results, size) as disk:
                if not disk.mounted:
                    counts[f"{kind}: this user may not mount"] += 1
                    continue
                code, said = self.call(project)
                logs = "".join(path.read_text(errors="replace") for path in results.glob("*/logs/*.log"))
                told = any(why in said + logs for why in WHY)
                good = code != 0 and told and "Traceback" not in said + logs
                if not good:
                    self.complain(f"{kind} of {size} bytes ended with {code}", said + logs)
                counts[f"{kind}: said, nothing wrong left"] += good and self.judge(kind, project)
                disk.mend()
                counts[f"{kind}: then made whole"] += self.ordinary(f"{kind} of {size} bytes, mended", project)
            shutil.rmtree(project.folder)
        return counts

    def moved(self) -> Counter[str]:
        """The project under another name, and its results elsewhere behind a link: nothing is trained again."""
        counts: Counter[str] = Counter()
        for how in ("the project", "the results, behind a link"):
            project = self.again()
            place = project.folder.with_name("moved")
            if how == "the project":
                project = Project(project.folder.rename(place))
            else:
                (project.folder / "results").rename(place)
                (project.folder / "results").symlink_to(place)
            trained = self.trained(project)
            good = self.ordinary(f"moved: {how}", project)
            counts[f"moved: {how}, nothing trained again"] += good and self.trained(project) == trained
            shutil.rmtree(place)
        return counts

    def surroundings(self, count: int) -> Counter[str]:
        """A project under a name of random characters, called from a home with settings for everything."""
        counts: Counter[str] = Counter()
        for _ in range(count):
            self.made += 1
            place = self.folder / f"project{self.made}"
            folder = place / hostile_name(self.chance)
            folder.mkdir(parents=True)
            project = copy(folder)
            project.environment = hostile_home(place / "of a person", self.chance)
            read_only_litter(folder / "shared data", self.chance)
            settings = folder / "config/tiny_scale.yaml"
            settings.write_text(settings.read_text() + "data_root: shared data\n")
            counts["hostile surroundings: the same bytes"] += self.ordinary(f"surroundings {folder.name}", project)
            shutil.rmtree(place)
        return counts

    def clocks(self) -> Counter[str]:
        """Results that a clock dated a day ahead, or in any order, are not believed where a setting has changed."""
        counts: Counter[str] = Counter()
        for how in ("a day ahead", "a day behind", "at random"):
            project = self.again()
            shift = {"a day ahead": 86400, "a day behind": -86400}.get(how)
            for path in (project.folder / "results").rglob("*"):
                to = path.stat().st_mtime + (shift or self.chance.uniform(-86400, 86400))
                os.utime(path, (to, to))
            counts["clock changed: made whole"] += self.ordinary(f"clock {how}", project)
            tables = project.read("tables")
            tables["tables"]["table1"]["panels"][0]["groups"][0]["rows"][0]["label"] = "another label"
            project.write("tables", tables)
            code, said = self.call(project)
            if code and "clock skew" in said and "Traceback" not in said:  # as docs/training.md says
                counts["clock changed: files of the future refused"] += 1
                project.call("find", "results", "-newermt", "now", "-exec", "touch", "{}", "+")
                code, said = self.call(project)
            table = project.folder / "results/test/tables/table1.csv"
            seen = code == 0 and "another label" in table.read_text()
            if not seen:
                self.complain(f"clock {how}: an edit of a label is not seen, code {code}", said)
            counts["clock changed: an edit is seen"] += seen
            shutil.rmtree(project.folder)
        return counts

    def damages(self, count: int) -> Counter[str]:
        """A file of a run cut at random: refused by name, and whole again once it is deleted as the message says."""
        counts: Counter[str] = Counter()
        names = ("record.json", "weights.safetensors", "provenance.json", "history.csv", "affine.safetensors")
        for _ in range(count):
            project = self.again()
            name = self.chance.choice(names)
            path = self.chance.choice(sorted(project.folder.glob(f"results/test/runs/*/*/{name}")))
            content = path.read_bytes()
            path.write_bytes(content[: self.chance.randrange(len(content))])
            shutil.rmtree(project.folder / "results/test/tables")
            code, said = self.call(project)
            logs = "".join(log.read_text() for log in project.folder.glob("results/test/**/*.log"))
            lines = {line for line in (said + logs).splitlines() if line.lstrip().startswith("error: ")}
            place = str(path.parent.relative_to(project.folder))  # of a history without its end nothing else is known
            named = any(f"{place}/{name}" in line or f"{place} " in line for line in lines)
            good = "Traceback" not in said + logs and (named if code else self.judge(f"{name} cut", project))
            if not good:
                self.complain(f"{path} cut ended with {code}", said + logs)
            counts["file cut at random: refused by its name" if code else "file cut at random: not needed"] += good
            whole = any("delete its folder" in line or f"{place} " in line for line in lines)
            shutil.rmtree(path.parent) if whole else path.unlink(missing_ok=True)
            counts["file cut at random: then made whole"] += self.ordinary(f"{name} deleted", project)
            shutil.rmtree(project.folder)
        return counts

    @staticmethod
    def trained(project: Project) -> list[bytes]:
        """When each run was trained, among the rest that its provenance says."""
        return sorted(path.read_bytes() for path in project.folder.glob("results/test/runs/*/*/provenance.json"))


class Mounted:
    """A file system of so many bytes over a folder, empty; or the folder's own files, read-only."""

    def __init__(self, folder: Path, size: int | None) -> None:
        self.folder, self.size, self.mounted = folder, size, False

    def __enter__(self) -> Mounted:
        if self.size:
            self.mounted = mount("-t", "tmpfs", "-o", f"size={self.size}", "tmpfs", self.folder)
        elif mount("--bind", self.folder, self.folder):
            self.mounted = mount("-o", "remount,ro,bind", self.folder)
        return self

    def mend(self) -> None:
        assert mount("-o", "remount,size=100m" if self.size else "remount,rw,bind", self.folder)

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            orphans(self.folder.parent)
            subprocess.run(["umount", str(self.folder)], check=True)


def mount(*arguments: object) -> bool:
    return (
        bool(shutil.which("mount"))
        and not subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode
    )


def ended(process: subprocess.Popen[bytes], after: float) -> bool:
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        return False
    return True


def kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def orphans(folder: Path) -> None:
    """Wait for the jobs of killed calls that still work in a folder."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                process.wait(timeout=300)
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            continue
