"""Other people's surroundings: names of folders, settings in a home, variables, and what systems leave in data."""

from __future__ import annotations

import os
import random
from pathlib import Path

CHARACTERS = " &'();,%~#=@![]*?é\"${}"  # not those that PATH or a script's first line cannot have: : \ `
RC_FILES = {
    ".latexmkrc": "$preview_continuous_mode = 1; $pdf_mode = 0; sleep 1000;\n",
    "texmf/tex/latex/booktabs.sty": "\\errmessage{another booktabs}\n",
    ".config/matplotlib/matplotlibrc": "text.usetex: True\nsavefig.bbox: tight\nfigure.dpi: 30\nfont.size: 30\n",
}
VARIABLES = (
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},  # as a locale that is not UTF-8
    {"LANG": "tr_TR.UTF-8", "LC_ALL": "tr_TR.UTF-8"},
    {"TZ": "Pacific/Kiritimati"},
    {"MPLBACKEND": "module://no_such_backend"},  # a notebook's
    {"TEXINPUTS": "{home}/texmf/tex/latex", "TEXMFHOME": "{home}/texmf"},
    {"PIP_USER": "1"},
    {"TMPDIR": "{home}/temporary files of a person " + 80 * "x"},
    {"GIT_DIR": "/nowhere"},
)
LITTER = ("._01.off", "Thumbs.db", "__MACOSX/x", "@eaDir/y", ".DS_Store", ".ipynb_checkpoints/z", "desktop.ini")


def hostile_name(chance: random.Random | None = None) -> str:
    """A folder's name with characters that shells and LaTeX read: all of them, or some at random."""
    if chance is None:
        return 'my "p" & co\'s (new) $; a,b 100% ~x #1 {c}'
    return f"p{''.join(chance.sample(CHARACTERS, 6))}q"


def hostile_home(folder: Path, chance: random.Random | None = None) -> dict[str, str]:
    """Make the home of a person with settings for everything, or some at random; gives the environment of a call."""
    home = folder / "ho me"

    def chosen(some):
        return [each for each in some if chance is None or chance.random() < 0.6]

    for name in chosen(RC_FILES):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(RC_FILES[name])
    variables = {k: v.format(home=home) for some in chosen(VARIABLES) for k, v in some.items()}
    Path(variables.get("TMPDIR", home)).mkdir(parents=True, exist_ok=True)
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(home), **variables}


def read_only_litter(folder: Path, chance: random.Random | None = None) -> Path:
    """A folder of original data that may not be written, with what systems leave in folders."""
    folder.mkdir()
    for name in LITTER if chance is None else chance.sample(LITTER, 3):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("litter")
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return folder
