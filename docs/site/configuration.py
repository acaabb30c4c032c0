"""`docs/configuration.md`: every key of a task or method file, from the schema that reads them."""

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from cells import cell, code, table
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from phf.config.percentile import Threshold
from phf.config.schema import Config, Section
from phf.config.schema.preference import PreferenceConfig
from phf.registry.arguments import ANY, REQUIRED, UNKNOWN
from phf.registry.names import CONDITIONINGS, DOCUMENT_FILTERS, METRICS, OBJECTIVES, RED_LMS, SCORERS, Registry
from phf.study.schema import Study

INTRODUCTION = """# Configuration

Every key of a task or method file, as `phf` checks it. This page is generated from the schema (`python docs/site/generate.py`).
How files are found and merged, and what is derived from what, is described under
[your own configuration](guide.md#your-own-configuration); a file to start from is printed by

```sh
phf train --task pep8/quickstart --method conditional --dry-run
```

`--override section.key=value` sets any of these keys for one command; items of lists are numbered from 0
(`generation.scenario_configs.0.num_samples=64`). A threshold is a number or a percentile of the training data: `p5` is the
score that 5% do not exceed. Keys without a default are required.
"""
SPELLED = {"None": "`null`", "True": "`true`", "False": "`false`"}
PYTHON = re.compile(r"(?<!`)\b(None|True|False)(?=:)")
"""A value in a docstring of the schema, which readers of this page write as YAML."""
FURTHER = {
    "schedule[]": "Written with `method: NAME`, which fills in `name`, `dataset` and `objective`: see "
    "[schedules](objectives.md#schedules). The last phase needs no `until`.",
    "training": (
        "Any other argument of Hugging Face [`TrainingArguments`]"
        "(https://huggingface.co/docs/transformers/main_classes/trainer#transformers.TrainingArguments) is a key of this "
        "section too. One that has no effect here is reported as ignored; one that cannot be applied is an error that says why."
    ),
    "dataset.conditioning": "[Quantiles](objectives.md#quantiles) and [several preferences](objectives.md#several-preferences) "
    "show this section in use.",
}
NAMED: tuple[tuple[str, str, str, Registry], ...] = (
    ("Objectives", "objective", "name", OBJECTIVES),
    ("Scorers", "generation.scorer_config", "class_name", SCORERS),
    ("Metrics of samples", "generation.metrics_configs", "class_name", METRICS),
    ("Red LMs", "redteam.red_lm", "class_name", RED_LMS),
    ("Rules for control tokens", "dataset.conditioning", "class_name", CONDITIONINGS),
    ("Document filters", "dataset.document_filter", "class_name", DOCUMENT_FILTERS),
)


def page() -> str:
    parts = [INTRODUCTION]
    parts += _section("", Config, is_nested=False)
    parts.append(
        "## Settings of named classes\n\nSections that name a class take its arguments as further keys. A class of your own "
        "(`module:ClassName`) takes those of its `__init__`: see [extending](extending.md)."
    )
    for title, where, key, registry in NAMED:
        parts += _named_classes(title, where, key, registry)
    parts.append(
        "## Study files\n\nA file for [`phf study`](studies.md#a-study-of-your-own) has keys of its own.\n\n"
        + _keys("", Study)
    )
    parts += [f"### `{path}`\n\n{_keys(path, section)}" for path, section in _nested("", Study)]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _section(path: str, section: type[Section], *, is_nested: bool) -> Iterator[str]:
    """A heading and a table for a section, then the same for the sections in it."""
    if path:
        summary = (section.__doc__ or "").strip()
        parts = [f"{'###' if is_nested else '##'} `{path}`", summary, _keys(path, section), FURTHER.get(path, "")]
        yield "\n\n".join(filter(None, parts))
    for inner, schema in _nested(path, section):
        if not inner.startswith("schedule[]."):  # documented under `dataset`
            yield from _section(inner, schema, is_nested=bool(path))
    if path == "dataset.conditioning":
        yield from _section(f"{path}.preferences[]", PreferenceConfig, is_nested=True)


def _nested(path: str, section: type[Section]) -> Iterator[tuple[str, type[Section]]]:
    """(path, schema) of the keys that are sections or, with [] at the end, lists of sections."""
    for key, field in section.model_fields.items():
        for kind in _alternatives(field.annotation):
            is_list = get_origin(kind) is list
            inner = _bare(get_args(kind)[0]) if is_list else kind
            if isinstance(inner, type) and issubclass(inner, Section):
                yield f"{path}.{key}".lstrip(".") + ("[]" if is_list else ""), inner


def _keys(path: str, section: type[Section]) -> str:
    rows = []
    for key, field in section.model_fields.items():
        described = PYTHON.sub(lambda match: SPELLED[match[0]], field.description or "")
        is_section = f"{path}.{key}".lstrip(".") in {inner.removesuffix("[]") for inner, _ in _nested(path, section)}
        default = "" if is_section and field.default is None else _default(field)
        if field.is_required():
            default = "see there" if re.search(r"\bdefault\b", described) else "required"
        rows.append([code(key), _type(field), default, cell(described)])
    return table(["key", "value", "default", "meaning"], rows)


def _default(field: FieldInfo) -> str:
    value = field.default_factory() if field.default_factory else field.default  # type: ignore[call-arg]
    if isinstance(value, Section):
        return ""
    return "" if value is PydanticUndefined else _yaml(value)


def _yaml(value: Any) -> str:
    """A default as YAML spells it in one line."""
    if value is None:
        return code("null")
    if isinstance(value, bool):
        return code(str(value).lower())
    if isinstance(value, str):
        return code(value or '""')
    if isinstance(value, list | tuple):
        return code(f"[{', '.join(map(_plain, value))}]")
    if isinstance(value, dict):
        return code("{" + ", ".join(f"{key}: {_plain(item)}" for key, item in value.items()) + "}")
    return code(str(value))


def _plain(value: Any) -> str:
    return _yaml(value).strip("`")


def _type(field: FieldInfo) -> str:
    """The type in words, with its limits."""
    words = [_word(kind) for kind in _alternatives(field.annotation) if kind is not type(None)]
    if field.annotation == Threshold.__origin__ and any("parse_threshold" in repr(item) for item in field.metadata):
        words = ["number or percentile"]
    return ", ".join([" or ".join(dict.fromkeys(words)), *_limits(field)])


def _word(kind: Any) -> str:
    if kind == Threshold:
        return "number or percentile"
    kind = _bare(kind)
    if get_origin(kind) is Literal:
        *choices, last = (code(str(value)) for value in get_args(kind))
        return " or ".join(filter(None, [", ".join(choices), last]))
    if get_origin(kind) is list:
        return f"list of {_plural(_word(get_args(kind)[0]))}"
    if get_origin(kind) is dict or kind is dict:
        return "mapping"
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(map(_word, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Section):
        return "section"
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Any: "anything"}
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def _plural(word: str) -> str:
    if " or " in word or word.startswith("`"):
        return word
    return word if word in ("text", "anything") else f"{word}s"


def _limits(field: FieldInfo) -> Iterator[str]:
    for limit in field.metadata:
        match limit:
            case Ge(ge=bound):
                yield f"at least {bound}"
            case Gt(gt=bound):
                yield f"above {bound}"
            case Le(le=bound):
                yield f"at most {bound}"
            case Lt(lt=bound):
                yield f"below {bound if not (isinstance(bound, int) and bound > 2**20) else f'2^{bound.bit_length() - 1}'}"
            case MinLen(min_length=1):
                yield "not empty"
            case MinLen() | MaxLen():
                continue


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    annotation = _bare(annotation)
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _named_classes(title: str, where: str, key: str, registry: Registry) -> Iterator[str]:
    """A table of the classes of a kind, each with its arguments, read from its source without importing it."""
    rows = []
    for name, (_, summary) in registry.entries.items():
        arguments = registry._arguments(name)
        named = {} if arguments is None else arguments.named
        shown = ", ".join(f"{code(argument)}{_argument_default(named[argument].default)}" for argument in named)
        rows.append([code(name), cell(summary), shown or "none"])
    yield f"### {title}\n\n`{where}.{key}`:\n\n" + table(["name", "what it is", "settings and their defaults"], rows)


def _argument_default(default: Any) -> str:
    if default is REQUIRED:
        return " (required)"
    return "" if default in (UNKNOWN, ANY) else f" ({_yaml(default)})"
