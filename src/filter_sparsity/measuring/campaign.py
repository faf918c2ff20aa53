"""A campaign in one process, without Snakemake: several trainings take turns on a device, and are measured as they end.

It needs only torch, numpy, safetensors and pandas. It trains the runs that Snakemake's target `campaign` trains, in the
same order, and leaves the same files, so that either goes on where the other stopped.
"""

from __future__ import annotations

import functools
import gc
import io
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

from ..data.prepared import Prepared, read
from ..errors import Unfinished, UserError
from ..files import write_bytes
from ..paths import TRAINED, dataset_file, run_folder
from ..plan import Plan
from ..planning import jobs
from ..records import archive, record
from ..training.checkpoint import FOLDER
from ..training.run import Settings, clock, is_trained, training_turns
from ..training.together import take_turns
from .extract import extract_run, summary

PART = 15_000_000  # bytes of a part of the tar, at most
TAR = "campaign.tar"  # its parts are campaign.tar.000, ...
MEASURED = (jobs.RECORD, "features.csv")


def run_campaign(plan: Plan, data: Path, settings: Settings) -> None:
    """Train and measure every run that the archive lacks, `settings.together` at a time, and pack the records.

    `data` is the folder of prepared datasets. Runs that are trained or measured already are not trained again. A run
    that fails does not stop the others. Raises Unfinished if it was to stop, and UserError if runs failed, both after
    the records are packed.
    """
    queue = jobs.training_queue(plan, archive.absent(plan))
    open_data = functools.cache(functools.partial(_open, plan, data))
    left = [run for run in queue if not _is_measured(plan, *run)]
    say(f"{len(queue):,} runs are not in the archive; {len(queue) - len(left):,} of them are measured here")
    tasks = (_turns(plan, *run, open_data, settings) for run in left if not settings.stop())
    began, done, failures = time.monotonic(), 0, list[str]()
    try:
        for ended in take_turns(tasks, settings.together):
            spec_id, seed = left[ended.place]
            if isinstance(ended.error, Unfinished):
                say(str(ended.error))
                continue
            if ended.error:
                failures.append(str(ended.error))
                say(f"{spec_id} seed {seed} failed: {ended.error}")
            else:
                done += 1
                say(f"{spec_id} seed {seed}: {ended.result}")
            rest = len(left) - done - len(failures)
            seconds = (time.monotonic() - began) / (done + len(failures)) * rest
            say(f"{done:,} of {len(left):,} runs done, {len(failures):,} failed, about {clock(seconds)} left")
            gc.collect()  # an optimizer and its step refer to each other, and hold memory of the device
    finally:
        if packed := pack(plan, queue):
            say(f"records to store: {packed[0].parent}/{TAR}.*, {len(packed)} parts")
    said = "; ".join(f"{error} ({count} runs)" for error, count in Counter(failures).items())
    if (why := settings.stop()) and done + len(failures) < len(left):
        failed = f", {len(failures):,} failed: {said}" if failures else ""
        raise Unfinished(
            f"stopped ({why}): {done:,} of {len(left):,} runs done{failed}; the same call goes on from there"
        )
    if failures:
        raise UserError(f"{len(failures):,} of {len(left):,} runs failed: {said}")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _open(plan: Plan, folder: Path, dataset: str) -> Prepared:
    """A prepared dataset, refused unless it is the one that the plan says."""
    path = dataset_file(folder, dataset)
    data = read(path)
    if (digest := plan.datasets[dataset].digest) and data.digest != digest:
        raise UserError(f"{path} has the content digest {data.digest}, not {digest} as the plan says: prepare it again")
    return data


def _turns(
    plan: Plan, spec_id: str, seed: int, open_data: functools._lru_cache_wrapper[Prepared], settings: Settings
) -> Generator[None, None, str]:
    """Train a run, a step at each `next`, unless it is trained, and measure it; returns a line of its measurements."""
    spec, folder = plan.specs[spec_id], plan.results_folder.run(spec_id, seed)
    data = open_data(spec.dataset)
    checkpoints = None
    if not is_trained(folder, spec, seed, data):
        kept = run_folder(plan.results_folder.runs.with_name(FOLDER), spec_id, seed)
        checkpoints = yield from training_turns(spec, seed, data, folder, kept, settings)
    extract_run(spec, seed, data, folder, settings.device)
    if checkpoints:
        checkpoints.clear()
    return summary(folder)


def _is_measured(plan: Plan, spec_id: str, seed: int) -> bool:
    """Whether Snakemake would find nothing to do for a run."""
    folder = plan.results_folder.run(spec_id, seed)
    if not all((folder / name).exists() for name in (*TRAINED, *MEASURED)):
        return False
    try:
        record.check_measuring(record.read(folder / jobs.RECORD, spec_id, seed), folder / jobs.RECORD)
    except UserError as error:
        say(f"{error}: it is measured again")
        return False
    return True


def pack(plan: Plan, runs: list[tuple[str, int]]) -> list[Path]:
    """Write what `store` needs of the runs that are measured as a tar in parts; returns the parts, none without runs.

    The parts in their order are the tar. It holds the plan, the records, and what figures draw beside them, below
    results/<scale>/.
    """
    folder = plan.results_folder
    files = [file for run in runs if (folder.run(*run) / jobs.RECORD).exists() for file in _stored_files(plan, *run)]
    if not files:
        return []
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        about = tarfile.TarInfo(str(folder.plan))
        content = plan.to_json().encode()
        about.size = len(content)
        tar.addfile(about, io.BytesIO(content))
        for file in files:
            tar.add(file)
    whole = packed.getvalue()
    parts = [folder.path / f"{TAR}.{i:03d}" for i in range(-(-len(whole) // PART))]
    for i, part in enumerate(parts):
        write_bytes(part, whole[i * PART : (i + 1) * PART])
    for old in folder.path.glob(f"{TAR}.*"):
        if old not in parts:
            old.unlink()
    return parts


def _stored_files(plan: Plan, spec_id: str, seed: int) -> Iterator[Path]:
    """The files of a run that `archive.store` reads."""
    kinds = {figure["kind"] for name, figure in plan.figures.items() if spec_id in plan.selected(name)}
    for name in (jobs.RECORD, *(file for kind, file in jobs.RUN_FILE_OF.items() if kind in kinds)):
        yield plan.results_folder.run(spec_id, seed) / name
