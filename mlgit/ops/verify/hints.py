"""What may have made an output differ, from the values alone: hints how to go on. They are guesses and say so."""

from __future__ import annotations

import re
from typing import Final

from mlgit.ops.verify.finding import Difference, Finding

_DATE: Final = re.compile(r"\b(?:19|20)\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d")
_WHOLE: Final = re.compile(r"\d{10,20}(?:\.\d+)?(?:e\+?\d+)?")
_SECONDS: Final = (1_000_000_000, 4_102_444_800)
"""From 2001 to 2100: numbers in this range are taken for seconds since 1970, or for a thousandth, … of them."""
_ROUNDING: Final = 1e-5

TIME: Final = (
    "looks like a time stamp: write SOURCE_DATE_EPOCH, which every stage gets, instead of the present time, "
    "or leave it out"
)
ROUNDING: Final = (
    "differs in the last digits of numbers only: sums in another order. Set the stage's `resources: {cpus: 1}`, or let "
    "it pass with `tolerance: {rel: 1e-6}` on the output"
)
LAYOUT: Final = "holds the same values, written differently: sort what is written, or set a `tolerance` on the output"


def hint(finding: Finding) -> str:
    """A hint for an output that differs; empty if the values say nothing."""
    first = finding.first
    if first is not None and _is_time(first):
        return TIME
    if finding.numeric and finding.relative is not None and 0 < finding.relative <= _ROUNDING:
        return ROUNDING
    return LAYOUT if finding.note.startswith("every value is the same") else ""


def _is_time(found: Difference) -> bool:
    if all(_DATE.search(side) for side in (found.recorded, found.new)):
        return True
    return all(_seconds(side) for side in (found.recorded, found.new))


def _seconds(text: str) -> bool:
    if not _WHOLE.fullmatch(text):
        return False
    value = float(text)
    return any(_SECONDS[0] <= value / unit < _SECONDS[1] for unit in (1, 1e3, 1e6, 1e9))
