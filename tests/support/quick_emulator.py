"""Runs ministack 1.5.33 with queries that look only at what they may answer, for labs of thousands of experiments.

It reads a whole partition for each page and parses the condition anew for each of its records, so a second of a lab's
life costs as much as the lab has lived. Here the two conditions that the ledger asks (`sk > :after`, `sk < :after`)
are first looked up among sorted keys; ministack's own query then answers from what is left, and checks that as ever.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable
from typing import Any

from ministack.app import main
from ministack.services import dynamodb

KEY = "pk = :key"
CONDITIONS = KEY, f"{KEY} AND sk > :after", f"{KEY} AND sk < :after"
SORTED = "_sorted_keys"  # of a table: partition → its sort keys in order


def install() -> None:
    dynamodb._query = _narrowed(dynamodb._query)
    dynamodb._set_item, dynamodb._remove_item = _kept(dynamodb._set_item), _dropped(dynamodb._remove_item)


def _narrowed(query: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def narrowed(asked: Any) -> Any:
        table = dynamodb._tables.get(asked.get("TableName"))
        if not table or "IndexName" in asked or asked["KeyConditionExpression"] not in CONDITIONS:
            return query(asked)
        everything = table["items"]
        partition = asked["ExpressionAttributeValues"][":key"]["S"]
        held = everything.get(partition, {})
        table["items"] = {partition: {key: held[key] for key in _wanted(asked, _keys(table, partition))}}
        try:
            return query(asked)
        finally:
            table["items"] = everything
    return narrowed


def _wanted(asked: Any, keys: list[str]) -> list[str]:
    """Of a page: one more than its limit, so that ministack sees whether there is more."""
    values, began = asked["ExpressionAttributeValues"], asked.get("ExclusiveStartKey", {})
    bounds = [one["S"] for one in (values.get(":after"), began.get("sk")) if one]
    limit = asked["Limit"] + 1
    if asked["ScanIndexForward"]:
        low = bisect_right(keys, max(bounds)) if bounds else 0
        return keys[low:low + limit]
    high = bisect_left(keys, min(bounds)) if bounds else len(keys)
    return keys[max(0, high - limit):high]


def _keys(table: Any, partition: str) -> list[str]:
    found: dict[str, list[str]] = table.setdefault(SORTED, {})
    if partition not in found:
        found[partition] = sorted(table["items"].get(partition, ()))
    return found[partition]


def _kept(put: Callable[..., Any]) -> Callable[..., Any]:
    def kept(table: Any, partition: str, key: str, item: Any) -> Any:
        keys = table.get(SORTED, {}).get(partition)
        if keys is not None and key not in table["items"].get(partition, ()):
            insort(keys, key)
        return put(table, partition, key, item)
    return kept


def _dropped(remove: Callable[..., Any]) -> Callable[..., Any]:
    def dropped(table: Any, partition: str, key: str) -> Any:
        keys = table.get(SORTED, {}).get(partition)
        if keys is not None and key in table["items"].get(partition, ()):
            del keys[bisect_left(keys, key)]
        return remove(table, partition, key)
    return dropped


if __name__ == "__main__":
    install()
    main()
