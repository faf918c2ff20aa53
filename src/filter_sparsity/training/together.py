"""Several trainings in one process, in turns. On a GPU each has a stream of its own, so that they share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from ..errors import Unfinished, UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Ended(Generic[T]):
    """How a task ended: with a result, or with an error that concerns no other task."""

    place: int  # of the task, from 0, in the order in which they came
    result: T | None = None
    error: UserError | Unfinished | None = None


def take_turns(tasks: Iterable[Generator[object, None, T]], together: int) -> Iterator[Ended[T]]:
    """Carry out `together` tasks at a time, a step of each in turn, and give each as it ends; then the next one begins.

    A task, such as `run.training_turns`, works while its generator is advanced, and returns its result. A turn only
    queues work on a GPU, and the tasks' streams compute at the same time. On a CPU they take turns and gain nothing.
    Tasks are taken from the iterable when there is place for them, so that it can end early.
    """
    waiting = enumerate(tasks)
    under_way = deque(islice(waiting, together))
    while under_way:
        place, task = under_way.popleft()
        try:
            next(task)
        except StopIteration as end:
            yield Ended(place, result=end.value)
        except (UserError, Unfinished) as error:
            yield Ended(place, error=error)
        else:
            under_way.append((place, task))
            continue
        under_way.extend(islice(waiting, 1))
