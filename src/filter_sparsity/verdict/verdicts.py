"""The verdicts, as the CSV and JSON files have them, in the order in which they are counted. Torch-free."""

from __future__ import annotations

from enum import StrEnum


class NumberVerdict(StrEnum):
    """Of a number that the paper prints, against ours."""

    AGREES = "agrees"
    DIFFERS = "differs"
    UNDECIDED = "undecided"
    CANNOT_TELL = "cannot tell"  # a share with a tolerance from 0 to 1
    NOT_COMPARABLE = "not comparable"  # this scale has other data, networks or trainings
    NOT_MEASURED = "not measured"


class ClaimVerdict(StrEnum):
    """Of a claim, or of one of its tests."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"


class CheckVerdict(StrEnum):
    """Of a fresh measurement, against the archive."""

    AGREES = "agrees"
    DIFFERS = "differs"
    CANNOT_TELL = "cannot tell"  # a share with a tolerance from 0 to 1
    NO_REFERENCE = "no reference"


class ShiftVerdict(StrEnum):
    """Of a setting of the sensitivity analysis: whether it brings the network nearer to the paper's."""

    CLOSER = "closer"
    FARTHER = "farther"
    UNDECIDED = "undecided"
    NOT_MEASURED = "not measured"
