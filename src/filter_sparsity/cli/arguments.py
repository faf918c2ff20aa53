"""How a verb declares its arguments."""

from __future__ import annotations

import datetime
import inspect
import json
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import expand
from ..plan import Plan


@dataclass(frozen=True)
class Argument:
    """What argparse is told of an argument: its name, and options of `ArgumentParser.add_argument`."""

    name: str
    options: dict[str, Any]


@dataclass(frozen=True)
class Verb:
    """A function and its arguments. Its name is the function's, its help the function's docstring."""

    run: Callable[[Namespace], None]
    arguments: tuple[Argument, ...]

    @property
    def name(self) -> str:
        return self.run.__name__.replace("_", "-")

    @property
    def help(self) -> str:
        return inspect.getdoc(self.run) or ""


def verb(*arguments: Argument) -> Callable[[Callable[[Namespace], None]], Verb]:
    """A decorator that makes a verb of a function."""
    return lambda function: Verb(function, arguments)


def argument(type: Callable[[str], Any], name: str, **options: Any) -> Argument:
    """An argument. One that begins with `--` and has no default is required."""
    if name.startswith("--"):
        options = {"required": "default" not in options, **options}
    return Argument(name, {"type": type, **options})


def flag(name: str, help: str) -> Argument:
    return Argument(name, {"action": "store_true", "help": help})


def _read_path(path: str) -> Path:
    """A path, with the `~` that a shell leaves in `--root=~/data`."""
    return Path(expand(path)) if path.startswith("~") else Path(path)


def _read_plan(path: str) -> Plan:
    return Plan.from_json(_read_path(path))


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings is not JSON: {error}") from None


def _read_end_time(value: str) -> float:
    """Seconds since 1970 of `14:30`, the next time that the clock shows it, or of `+25`, in 25 minutes."""
    now = datetime.datetime.now()
    try:
        if value.startswith("+"):
            return (now + datetime.timedelta(minutes=float(value))).timestamp()
        end = datetime.datetime.combine(now.date(), datetime.time.fromisoformat(value))
    except ValueError:
        raise UserError(f"--until is {value!r}: give a time of day as 14:30, or minutes from now as +25") from None
    return (end if end > now else end + datetime.timedelta(days=1)).timestamp()


text = partial(argument, str)
integer = partial(argument, int)
number = partial(argument, float)
path = partial(argument, _read_path)
plan_file = partial(argument, _read_plan)  # the plan in the file
settings = partial(argument, _read_json)
end_time = partial(argument, _read_end_time)
