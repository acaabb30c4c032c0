"""The base of all sections of the configuration."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """Base of every section: an unknown key is an error, and nothing is changed after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_truth_values(cls, value: Any, info: ValidationInfo) -> Any:
        """The value, unless it has `yes` or `no` instead of a number: pydantic would read them as 1 and 0."""
        if info.field_name is not None and _has_truth_value(value, cls.model_fields[info.field_name].annotation):
            raise PydanticCustomError("number_expected", "Input should be a number, not yes or no")
        return value


def _has_truth_value(value: Any, annotation: Any) -> bool:
    """Whether the value, or an item of a list or mapping in it, is a bool where the annotation has a number and no bool."""
    kinds = [_bare(kind) for kind in _alternatives(_bare(annotation))]
    if isinstance(value, bool):
        return bool not in kinds and str not in kinds and (int in kinds or float in kinds)
    for kind in kinds:
        if get_origin(kind) is list and isinstance(value, list):
            return any(_has_truth_value(item, get_args(kind)[0]) for item in value)
        if get_origin(kind) is dict and isinstance(value, dict):
            return any(_has_truth_value(item, get_args(kind)[1]) for item in value.values())
    return False


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _bare(annotation: Any) -> Any:
    """The type without the constraints of an `Annotated`."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
