"""Which texts the report can have. LaTeX and matplotlib escape all others of their own signs: `$`, `_`, `#`, `\\`."""

from __future__ import annotations

import re

SYMBOLS = "γβλθεη±×≥≤−…†‡–“”"  # besides Latin letters: `typesetting.latex` knows each
MISSING = "ĦħĸĿŀŉŦŧſ"  # Latin letters that the report's fonts lack
_REFUSED = re.compile(rf"[^\t\n -~\xa0-\u017f{SYMBOLS}]|[{MISSING}]")


def cannot_typeset(text: str) -> str:
    """Why the report cannot have a text; empty if it can."""
    if found := _REFUSED.search(text):
        before = text[max(found.start() - 20, 0) : found.end()]
        return (
            f"the report cannot typeset {found[0]!r} (U+{ord(found[0]):04X}) in {before!r}: write Latin letters or "
            f"one of {' '.join(SYMBOLS)}"
        )
    if text.lstrip().startswith(("[", "*", "_")):  # an option of LaTeX, or what a legend leaves out
        return f"{text[:40]!r} begins with {text.lstrip()[0]}: begin with a letter"
    if re.search(r"\n[ \t]*\n", text):
        return f"the report cannot have the empty line in {text[:40]!r}: write one paragraph"
    return ""


def escape_mathtext(text: str) -> str:
    """A text as matplotlib draws it plainly: what stands between two $ would be mathematics."""
    return text.replace("$", r"\$")
