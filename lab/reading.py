"""From a table of plain values to a noun, with every fault at once and the place of each.

msgspec stops at the first fault and names what it wanted; a person who edits a file wants all of them, in the file's
own words. So tables are walked here, key by key, and msgspec judges each value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin

import msgspec

S = TypeVar("S", bound=msgspec.Struct)
Place = tuple[str | int, ...]  # ("limits", "minutes"), or ("goals", 1, "value") of the second goal


class Fault(NamedTuple):
    place: Place
    why: str


def read(form: type[S], values: Mapping[str, Any], lists: Mapping[str, type[msgspec.Struct]], faults: list[Fault],
         place: Place = ()) -> S | None:
    """The noun, or None with all that is wrong added to `faults`. Structs within are tables, and `lists` names the keys
    that hold lists of tables."""
    known, before = {field.name: field for field in msgspec.structs.fields(form)}, len(faults)
    given: dict[str, Any] = {}
    faults.extend(Fault((*place, key), f"unknown key {path((*place, key))}; known here: {', '.join(known)}")
                  for key in values if key not in known)
    for name, field in known.items():
        here = (*place, name)
        if name not in values:
            if field.required:
                faults.append(Fault(here, f"{path(here)} is missing"))
        elif name in lists:
            given[name] = tuple(_tables(lists[name], values[name], faults, here))
        elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            given[name] = _table(field.type, values[name], faults, here)
        else:
            given[name] = _value(field.type, values[name], faults, here)
    if len(faults) > before:
        return None
    try:
        return form(**given)
    except ValueError as error:  # a rule between keys
        faults.append(Fault(place, f"{path(place)}: {error}"))
        return None


def path(place: Place) -> str:
    return ".".join(str(part) for part in place)


def _tables(form: type[S], values: Any, faults: list[Fault], place: Place) -> Iterator[S | None]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        faults.append(Fault(place, f"{path(place)} = {values!r}: write each as a table, [[{place[-1]}]]"))
        return
    for number, one in enumerate(values):
        yield _table(form, one, faults, (*place, number))


def _table(form: type[S], values: Any, faults: list[Fault], place: Place) -> S | None:
    if not isinstance(values, Mapping):
        faults.append(Fault(place, f"{path(place)} = {values!r}: a table is expected, [{place[0]}]"))
        return None
    return read(form, values, {}, faults, place)


def _value(form: Any, value: Any, faults: list[Fault], place: Place) -> Any:
    try:
        if isinstance(value, float) and not math.isfinite(value):
            raise msgspec.ValidationError("expected a finite number")
        return msgspec.convert(value, form)
    except msgspec.ValidationError as error:
        choices = list(_choices(form))
        why = f"one of {', '.join(choices)}" if choices else str(error).replace("Expected", "expected")
        faults.append(Fault(place, f"{path(place)} = {value!r}: {why}"))
        return None


def _choices(form: Any) -> Iterator[str]:
    """The words of a Literal, also within what is annotated or optional."""
    if get_origin(form) is Literal:
        yield from get_args(form)
    else:
        for one in get_args(form):
            yield from _choices(one)
