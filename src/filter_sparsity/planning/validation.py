"""Reading configuration, and refusing what is wrong in it in one line. Torch-free."""

from __future__ import annotations

import math
import re
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ..errors import UserError
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


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


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


def validate(data: Any, schema: str, where: str) -> None:
    """Raise UserError naming the first key of `data` that `schemas/<schema>.schema.yaml` refuses."""
    from jsonschema import Draft202012Validator  # a tenth of a second, which steps that only read YAML need not spend
    from jsonschema.exceptions import best_match
    from jsonschema.validators import extend

    rules: Any = read_schema(schema)
    plain = Draft202012Validator.TYPE_CHECKER
    finite = plain.redefine("number", lambda _, v: plain.is_type(v, "number") and math.isfinite(v))
    errors = list(extend(Draft202012Validator, type_checker=finite)(rules).iter_errors(data))
    if not errors:
        return
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
        rules = [rule["properties"]["kind"] for rule in error.validator_value]
        known = [value for rule in rules for value in rule.get("enum", [rule.get("const")])]
        kind = error.instance.get("kind") if isinstance(error.instance, dict) else error.instance
        said = f"kind is {kind!r}: allowed are {', '.join(known)}"
    else:
        said = error.message
    raise UserError(f"{where}: {_place(error)}{said}")


def _place(error: ValidationError) -> str:
    """The key that an error is about, as `tables.table1.metrics[0]: `; empty at the top."""
    key = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    return f"{key}: " if key else ""
