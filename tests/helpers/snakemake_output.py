"""What a call of Snakemake said."""

from __future__ import annotations

import re


def jobs(done) -> dict[str, int]:
    """The job counts that a dry run prints."""
    assert done.returncode == 0, done.stderr
    table = re.search(r"job +count\n-+ +-+\n(.*?)\n\n", done.stdout + done.stderr, re.DOTALL)
    lines = table[1].splitlines() if table else []
    return {name: int(count) for name, count in (line.split() for line in lines)}


def refused(done, *words: str) -> None:
    """One line that says what is wrong, no traceback."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    errors = {line for line in done.stderr.splitlines() if line.startswith("error: ")}
    assert len(errors) == 1, done.stderr[-2000:]
    for word in words:
        assert word in next(iter(errors))
