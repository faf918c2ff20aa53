"""Reading configuration, and refusing what is wrong in it in one line. Torch-free."""

from __future__ import annotations

import math
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import yaml

from ..errors import UserError
from ..letters import cannot_typeset
from ..metrics import claim_metrics, table_metrics

if TYPE_CHECKING:
    from jsonschema import ValidationError

SCHEMAS = Path(__file__).parent / "schemas"

# Keys of earlier versions, by schema.
RENAMED = {
    "config": {
        "by_hand": "manual_datasets",
        "campaign": "train_first",
        "rate_multiplier": "lr_multiplier",
        "stand_ins": "substitutes",
        "time_limit": "time_limit_minutes",
    },
    "tables": {"blocks": "column_groups"},
    "claims": {
        "beyond": "outside",
        "given": "precondition",
        "measure": "metric",
        "minus": "baseline",
        "of": "spec",
        "why": "rationale",
    },
    "datasets": {"found_as": "local_names", "get": "instructions", "obtain": "access"},
}

_WORDS = {
    "number": "a finite number",
    "integer": "a whole number",
    "string": "text",
    "array": "a list",
    "object": "a mapping",
    "boolean": "true or false",
    "null": "null",
}


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in YAML 1.2 (PyYAML's 1.1 takes it for text)."""


_EXPONENT = r"[eE][-+]?[0-9]+"
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(rf"^[-+]?[0-9]+(\.[0-9]*)?{_EXPONENT}$"), list("-+0123456789")
)
_NUMBER = re.compile(rf"[-+]?[0-9]+(\.[0-9]*)?({_EXPONENT})?")  # as text, where Snakemake read the file or `--config`


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    """A key given twice is a mistake, and not the last value."""
    keys = [loader.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in keys:
        if keys.count(key) > 1:
            raise yaml.MarkedYAMLError(problem=f"the key {key!r} is given twice", problem_mark=node.start_mark)
    loader.flatten_mapping(node)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # bytes that are no text, a date with a month 13
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def read_schema(name: str) -> Any:
    """A schema with what its `$ref`s take from other files, which editors follow by themselves, and metrics' names."""

    def read(name: str) -> Any:
        return yaml.safe_load(
            (SCHEMAS / f"{name}.schema.yaml").read_text(encoding="utf-8").replace("spec.schema.yaml#", "#")
        )

    own = read(name)
    if "$ref" in own:
        own = {**read(own.pop("$ref").removesuffix(".schema.yaml")), **own}
    metrics = {"table_metric": {"enum": table_metrics()}, "claim_metric": {"enum": claim_metrics()}}
    return {**own, "$defs": {**read("spec")["$defs"], **metrics, **own.get("$defs", {})}}


def resolve_reference(schema: Mapping[str, Any], rules: Mapping[str, Any]) -> dict[str, Any]:
    """A part of the schema `rules`, together with the part that it refers to."""
    if "$ref" not in schema:
        return {**schema}
    found = rules
    for step in schema["$ref"].lstrip("#/").split("/"):
        found = found[step]
    return {**resolve_reference(found, rules), **schema}


def convert_numbers(data: Any, schema: Mapping[str, Any], rules: Mapping[str, Any]) -> Any:
    """The data with numbers of one form where the schema wants numbers: 1e-1 as text is 0.1, and 40.0 or 4e1 is 40."""
    schema = resolve_reference(schema, rules)
    if isinstance(data, dict):
        alternatives = [rule for rule in schema.get("oneOf", ()) if data.get("kind") in _kinds(rule)]
        properties = {**schema.get("properties", {}), **(alternatives[0]["properties"] if alternatives else {})}
        others = schema.get("additionalProperties") or {}
        return {key: convert_numbers(value, properties.get(key, others), rules) for key, value in data.items()}
    if isinstance(data, list):
        return [convert_numbers(item, schema.get("items", {}), rules) for item in data]
    kinds = schema.get("type", [])
    kinds = {kinds} if isinstance(kinds, str) else {*kinds}
    if isinstance(data, str) and kinds & {"number", "integer"} and _NUMBER.fullmatch(data):
        data = float(data) if re.search("[.eE]", data) else int(data)
    if isinstance(data, float) and data.is_integer() and "integer" in kinds:
        return int(data)
    return data


def _kinds(alternative: Mapping[str, Any]) -> list[str]:
    """The values of `kind` that one of several alternatives is for."""
    kind = alternative.get("properties", {}).get("kind", {})
    return kind.get("enum", [kind["const"]] if "const" in kind else [])


def check_text(data: Any, where: str, place: str = "") -> None:
    """Raise UserError naming the first text of `data`, a key or a value, that the report cannot have."""
    if isinstance(data, dict):
        for key, value in data.items():
            check_text(str(key), where, place)
            check_text(value, where, f"{place}.{key}".lstrip("."))
    elif isinstance(data, list):
        for number, item in enumerate(data):
            check_text(item, where, f"{place}[{number}]")
    elif isinstance(data, str) and (said := cannot_typeset(data)):
        raise UserError(f"{where}: {place}: {said}" if place else f"{where}: {said}")


def validate(data: Any, schema: str, where: str) -> Any:
    """The data, with numbers of one form, if `schemas/<schema>.schema.yaml` allows them.

    Raises UserError naming the first key that it refuses.
    """
    from jsonschema import Draft202012Validator  # a tenth of a second, which steps that only read YAML need not spend
    from jsonschema.exceptions import best_match
    from jsonschema.validators import extend

    rules: Any = read_schema(schema)
    data = convert_numbers(data, rules, rules)
    plain = Draft202012Validator.TYPE_CHECKER
    finite = plain.redefine("number", lambda _, v: plain.is_type(v, "number") and math.isfinite(v))
    errors: list[Any] = [*map(_of_its_kind, extend(Draft202012Validator, type_checker=finite)(rules).iter_errors(data))]
    if not errors:
        return data
    for error in errors:
        if error.validator == "additionalProperties":
            for old, new in RENAMED.get(schema, {}).items():
                if old in error.instance and new in error.schema["properties"]:
                    raise UserError(f"{where}: {_place(error)}`{old}` is now `{new}`")
    error = best_match(errors)
    if error.validator == "additionalProperties":
        known = dict(error.schema)["properties"]
        unknown = [k for k in error.instance if k not in known]
        said = f"unknown key {', '.join(map(repr, unknown))}; allowed are {', '.join(sorted(known))}"
    elif error.validator == "type":
        kinds = [error.validator_value] if isinstance(error.validator_value, str) else error.validator_value
        said = f"{reprlib.repr(error.instance)} is not {' or '.join(_WORDS[kind] for kind in kinds)}"
    elif error.validator == "enum":
        said = f"{error.instance!r} is not one of {', '.join(map(str, error.validator_value))}"
    elif error.validator == "not":  # the only thing forbidden is keys together
        both = error.validator_value["required"]
        said = " and ".join(f"{k} {error.instance[k]}" for k in both) + " are given: at most one of them is allowed"
    elif (
        error.validator == "oneOf"
        and "required" in error.validator_value[0]
        and "kind" not in str(error.validator_value)
    ):
        said = f"exactly one of {', '.join(rule['required'][0] for rule in error.validator_value)} must be given"
    elif error.validator == "oneOf":  # by the one property that tells the alternatives apart
        known = [kind for rule in error.validator_value for kind in _kinds(rule)]
        kind = error.instance.get("kind") if isinstance(error.instance, dict) else error.instance
        said = f"kind is {kind!r}: allowed are {', '.join(known)}"
    elif error.validator == "pattern" and (words := error.schema.get("description")):
        said = f"{reprlib.repr(error.instance)} is no name: {words}"
    else:
        said = error.message
    raise UserError(f"{where}: {_place(error)}{said}")


def _of_its_kind(error: ValidationError) -> ValidationError:
    """Of an error about alternatives, what is wrong with the one that the instance's `kind` names, if one does."""
    from jsonschema.exceptions import best_match

    if error.validator == "oneOf" and isinstance(error.instance, dict):
        for number, rule in enumerate(cast(list[Any], error.validator_value)):
            if error.instance.get("kind") in _kinds(rule):
                return best_match(one for one in error.context or () if one.schema_path[0] == number) or error
    return error


def _place(error: ValidationError) -> str:
    """The key that an error is about, as `tables.table1.metrics[0]: `; empty at the top."""
    path = [p if isinstance(p, int) or p.isprintable() else repr(p) for p in error.absolute_path]
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")
    return f"{key}: " if key else ""
