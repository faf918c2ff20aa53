"""The program around the verbs: it reads the arguments, and turns what a user can mend into one line and an exit code.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | an error that the user can mend, in one line; a traceback is a mistake of this program |
| 2 | arguments that argparse refuses |
| 75 | a training stopped before its end: the same call goes on from there |
| 130 | Ctrl-C |
| 141 | who read the output went away, as `head` does |
"""

from __future__ import annotations

import io
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS

from ..errors import Unfinished, UserError
from . import own_networks, verbs
from .arguments import Verb

# What the user can mend: a full disk, a folder that may not be written, a wrong path.
USER_ERRNOS = {EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENOENT, ENOSPC, ENOTDIR, EPERM, EROFS}


def parser() -> ArgumentParser:
    """The parser of all verbs, in the order of `verbs` and `own_networks`."""
    top = ArgumentParser(prog="filter-sparsity", description=verbs.__doc__)
    subparsers = top.add_subparsers(required=True, metavar="VERB")
    for verb in [*vars(verbs).values(), *vars(own_networks).values()]:
        if isinstance(verb, Verb):
            added = subparsers.add_parser(verb.name, help=verb.help, description=verb.help)
            added.set_defaults(run=verb.run)
            for argument in verb.arguments:
                added.add_argument(argument.name, **argument.options)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; returns the exit code."""
    os.environ["MPLBACKEND"] = "Agg"  # a notebook's backend, which its terminal inherits, may not even be installed
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # where the locale has no Greek letters
    try:
        args = parser().parse_args(arguments)
        args.run(args)
        sys.stdout.flush()  # else a pipe that broke is noticed only as Python ends
    except UserError as error:
        return _fail(f"error: {error}")
    except Unfinished as error:
        return _fail(str(error), os.EX_TEMPFAIL)
    except KeyboardInterrupt:
        return _fail("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python flushes as it ends
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in USER_ERRNOS:
            raise
        return _fail(f"error: {error.filename or 'a file'}: {error.strerror}")
    return 0


def _fail(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code
