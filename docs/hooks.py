"""What the pages have for GitHub, brought into the built site: formulas, and links to files beside docs/."""

import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[1]


def formula(source, *_, **__):
    """A fenced block `math` as MathML, which browsers draw without a script."""
    return convert(source, display="block")


def on_config(config):
    fences = config["mdx_configs"].setdefault("pymdownx.superfences", {})
    fences["custom_fences"] = [{"name": "math", "class": "math", "format": formula}]


def on_page_markdown(markdown, page, **_):
    """Files outside docs/ are no part of the site: their names stay, and they must be there."""

    def named(match):
        if not (ROOT / "docs" / match[2]).exists():
            raise PluginError(f"{page.file.src_uri} has a link to {match[2]}, which is not there")
        return match[1]

    return re.sub(r"\[([^\]]+)\]\((\.\./[^)#]+)[^)]*\)", named, markdown)
