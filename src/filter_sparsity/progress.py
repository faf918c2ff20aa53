"""Long work: how many processors it may use, when it is to stop, and the bar that a person watches. Torch-free."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Self


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def stop_reason(end: float) -> Callable[[], str]:
    """A function that says why to stop: a signal's name, or that it is `end` (seconds since 1970); else an empty text.

    SIGTERM, Ctrl-C and SIGHUP, which a terminal sends as it closes, do nothing else from now on. Under `nohup` SIGHUP
    stays without effect.
    """
    received: list[str] = []
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else set()
    for number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} - ignored:
        signal.signal(number, lambda number, frame: received.append(signal.Signals(number).name))
    return lambda: received[0] if received else "its time is over" if time.time() >= end else ""


class Bar:
    """How far a long work is, on stderr: written over where a person looks at it, a line every 10 s elsewhere."""

    def __init__(self, what: str, total: int | None, unit: str, done: int = 0, shown: bool = True) -> None:
        """`total` is None if nobody knows it; `done` units were there before."""
        self.what, self.total, self.unit, self.done, self.shown = what, total, unit, done, shown
        self.before, self.start = done, time.monotonic()
        self.over = sys.stderr.isatty()
        self.said = self.start

    def __enter__(self) -> Self:
        return self

    def update(self, units: int = 1) -> None:
        """Say that so many more are done."""
        self.done += units
        if time.monotonic() - self.said >= (0.1 if self.over else 10):
            self._say("")

    def __exit__(self, *error: object) -> None:
        self._say("\n")

    def __str__(self) -> str:
        """The line: units done, of how many; seconds, and how many more it takes at this rate."""
        seconds = time.monotonic() - self.start
        of = f" of {self.total:,}" if self.total is not None else ""
        line = f"{self.what}: {self.done:,}{of} {self.unit}, {seconds:.0f} s"
        new = self.done - self.before
        if self.total is None or not new or self.done >= self.total:
            return line
        return f"{line}, {seconds * (self.total - self.done) / new:.0f} s left"

    def _say(self, end: str) -> None:
        if self.shown:
            line = f"\r{self}\x1b[K{end}" if self.over else f"{self}\n"
            print(line, end="", file=sys.stderr, flush=True)
            self.said = time.monotonic()
