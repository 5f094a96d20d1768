"""Options of the command line written into the text of the settings, so that the pushed revision is the whole truth.

The text stays the person's own, comments and all: a line is replaced where its key stands, else added under its table.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from lab.errors import UserError
from lab.settings import DesignersSection

Scalar = bool | int | float | str | list[str]
NO_DESIGNER = ("control_share", "families", "pinned", "window")  # keys of [designers] that are no designer's weight


def overridden(text: str, values: Mapping[tuple[str, str], Scalar]) -> str:
    """`text` with each (table, key) at its value. Raises UserError where the text writes a key in a way that cannot be
    replaced line by line."""
    for (table, key), value in values.items():
        text = _with_value(text, table, key, value)
        if _value(text, table, key) != value:
            raise UserError(f"cannot override {table}.{key} in this settings file; write it as `{key} = …` under "
                            f"[{table}], or change it there")
    return text


def designer_values(name: str) -> dict[tuple[str, str], Scalar]:
    """All weight to one designer; beside it `control` keeps its share. Raises UserError for an unknown one."""
    weights = [name for name in DesignersSection.__struct_fields__ if name not in NO_DESIGNER]
    if name not in (*weights, "control"):
        raise UserError(f"--designer {name!r}: there is {', '.join(sorted([*weights, 'control']))}")
    values: dict[tuple[str, str], Scalar] = {("designers", weight): float(weight == name) for weight in weights}
    return values | ({("designers", "control_share"): 1.0} if name == "control" else {})


def _value(text: str, table: str, key: str) -> object:
    try:
        return tomllib.loads(text).get(table, {}).get(key)
    except tomllib.TOMLDecodeError:  # the table stands there in another form
        return None


def _with_value(text: str, table: str, key: str, value: Scalar) -> str:
    lines = text.splitlines()
    head = next((n for n, line in enumerate(lines) if re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", line)), None)
    written = f"{key} = {_toml(value)}  # from the command line"
    if head is None:
        first = next((n for n, line in enumerate(lines) if re.match(r"\s*\[", line)), len(lines))
        return "\n".join([*lines[:first], f"[{table}]", written, "", *lines[first:]]) + "\n"
    end = next((n for n in range(head + 1, len(lines)) if re.match(r"\s*\[", lines[n])), len(lines))
    for n in range(head + 1, end):
        if re.match(rf"\s*{re.escape(key)}\s*=", lines[n]):
            return "\n".join([*lines[:n], written, *lines[n + 1:]]) + "\n"
    return "\n".join([*lines[:head + 1], written, *lines[head + 1:]]) + "\n"


def _toml(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value}"
