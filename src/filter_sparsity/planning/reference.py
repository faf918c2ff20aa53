"""The page of all configuration keys, written from the schemas that refuse wrong ones. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .validation import read_schema, resolve_reference

Schema = dict[str, Any]

HEAD = """# Configuration keys

Written by `filter-sparsity reference` from the [schemas](../src/filter_sparsity/planning/schemas), which refuse unknown
keys and impossible values: edit those, not this page. Keys in bold must be there. `<name>` is a name of one's own, `[]`
an entry of a list.
"""
WORDS = {"number": "number", "integer": "whole number", "string": "text", "boolean": "true or false", "null": "`null`"}
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
FILES = ("recipe", "tables", "figures", "claims")
SPECS = "What recipe, tables, figures and claims are made of"
SETTINGS = "[settings](#settings-of-a-spec)"
SECTIONS = {
    "settings": SETTINGS,
    "labelled": f"`label` and {SETTINGS}",
    "fact": "[fact](#a-fact)",
    "counts": "[fact](#a-fact)",
}


def page() -> str:
    """The whole page, in Markdown."""
    config, datasets = read_schema("config"), read_schema("datasets")
    parts = [HEAD, _section("##", {**config, "title": read_schema("scale")["title"]}, config)]
    parts += [f"## {SPECS}\n"]
    parts += [_section("###", config["$defs"][name], config) for name in ("settings", "fact")]
    for name in FILES:
        schema = read_schema(name)
        parts += [f"## {schema['title']}\n\n{schema['description']}.\n"]
        parts += [_section("###", {**part, "title": f"`{key}`"}, schema) for key, part in schema["properties"].items()]
    return "\n".join([*parts, _section("##", datasets, datasets)])


def _section(level: str, schema: Schema, root: Schema) -> str:
    description = schema["description"].rstrip(".")
    lines = dict.fromkeys(_below(schema, "", root))  # kinds of figures have keys in common
    table = "\n".join(["| key | values | meaning |", "|---|---|---|", *lines]) if lines else ""
    shown = table or f"A {_values(schema, root)}."
    return f"{level} {schema['title']}\n\n{description[0].upper()}{description[1:]}.\n\n{shown}\n"


def _below(schema: Schema, path: str, root: Schema) -> Iterator[str]:
    """A line for every key below `path`, at whatever depth, but for what has a section of its own."""
    if _name(schema) in SECTIONS:
        return
    schema = resolve_reference(schema, root)
    for alternative in (schema, *schema.get("oneOf", ())):
        for key, value in alternative.get("properties", {}).items():
            mark = "**" if key in alternative.get("required", ()) else ""
            place = f"{path}.{key}".lstrip(".")
            yield f"| {mark}`{place}`{mark} | {_values(value, root)} | {_meaning(value, root)} |"
            yield from _below(value, place, root)
    dot = "." if path else ""
    if isinstance(named := schema.get("additionalProperties"), dict):
        yield from _below(named, f"{path}{dot}<name>", root)
    if "items" in schema:
        yield from _below(schema["items"], f"{path}[]", root)


def _name(schema: Schema) -> str:
    return schema.get("$ref", "").rpartition("/")[2]


def _meaning(schema: Schema, root: Schema) -> str:
    """The description, or that of the value of a fact."""
    value = resolve_reference(schema.get("properties", {}).get("value", {}), root)
    resolved = resolve_reference(schema, root)
    return schema.get("description") or value.get("description") or resolved["description"]


def _values(schema: Schema, root: Schema) -> str:
    section = SECTIONS.get(_name(schema), "")
    schema = resolve_reference(schema, root)
    if value := schema.get("properties", {}).get("value") if "fact" in section else None:
        return f"{section}: {_values(value, root)}" if {"type", "$ref"} & value.keys() else section
    if section:
        return section
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    kinds = schema.get("type", [])
    return " or ".join(_kind(kind, schema, root) for kind in ([kinds] if isinstance(kinds, str) else kinds)) or "any"


def _kind(kind: str, schema: Schema, root: Schema) -> str:
    if kind == "array":
        least, most = schema.get("minItems"), schema.get("maxItems")
        items = re.sub(r"^(number|whole number|mapping)", r"\1s", _values(schema["items"], root))
        return f"list of {f'{least} ' if least == most and least else ''}{items}"
    if kind == "object":
        named = schema.get("additionalProperties")
        return f"mapping of names to {_values(named, root)}" if isinstance(named, dict) and named else "mapping"
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in BOUNDS.items() if bound in schema]
    return f"{WORDS[kind]} {', '.join(bounds)}".strip() if kind in ("number", "integer") else WORDS[kind]
