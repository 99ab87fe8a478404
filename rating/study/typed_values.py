"""Plain values (JSON, TOML) read into frozen dataclasses, with every fault told.

The types are those of the dataclass: text, whole numbers, numbers, true or false, one of some
words, lists, groups, or any of them left out.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

T = TypeVar("T")
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def read_values(cls: type[T], values: object, faults: list[str], where: str = "") -> T | None:
    """Return an instance of a dataclass made from plain values, or None where it cannot be made.

    Args:
        cls:    The dataclass; fields that `values` lack take their defaults.
        values: A mapping of field names to plain values.
        faults: Gets one line for every unknown field, missing field and wrong type.
        where:  What precedes the field's name in those lines, for example "plan.".
    """
    if not isinstance(values, Mapping):
        faults.append(f"{where.rstrip('.') or 'it'}: a group of fields is needed, not {values!r}.")
        return None
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in fields:
            faults.append(f"{where}{name}: no such field; there are {', '.join(fields)}.")
    before = len(faults)
    read = {
        name: _read(hints[name], values[name], f"{where}{name}", faults)
        for name in fields
        if name in values
    }
    for name, field in fields.items():
        has_default = (
            field.default is not dataclasses.MISSING
            or field.default_factory is not dataclasses.MISSING
        )
        if name not in values and not has_default:
            faults.append(f"{where}{name}: is missing.")
    return cls(**read) if len(faults) == before else None


def _read(kind: Any, value: object, where: str, faults: list[str]) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in options:
            return None
        (kind,) = (option for option in options if option is not type(None))
        return _read(kind, value, where, faults)
    if origin is Literal:
        if not isinstance(value, str) or value not in options:
            faults.append(f"{where}: {_shown(value)} is not one of {', '.join(options)}.")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            faults.append(f"{where}: a list is needed, not {_shown(value)}.")
            return ()
        return tuple(
            _read(options[0], part, f"{where}[{index}]", faults)
            for index, part in enumerate(value, start=1)
        )
    if dataclasses.is_dataclass(kind):
        return read_values(typing.cast(type[Any], kind), value, faults, f"{where}.")
    return _read_plain(kind, value, where, faults)


def _read_plain(kind: type, value: object, where: str, faults: list[str]) -> Any:
    if kind is float and type(value) is int and abs(value) < 10**15:
        return float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        faults.append(f"{where}: {_NAMES[kind]} is needed, not {_shown(value)}.")
    elif isinstance(value, str) and (reason := _unusable(value)):
        faults.append(f"{where}: {reason}.")
    return value


def _unusable(text: str) -> str:
    """Why a database cannot keep a text; "" when it can."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the text is not valid Unicode"
    return "the text has a NUL character" if "\0" in text else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
