"""What a store can be asked, each checked when it is made: get, put, search, list namespaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .._arguments import TTL, check_count, shown, ttl_to_milliseconds
from .._errors import InvalidArgumentError
from .conditions import Condition, check_condition
from .entries import Namespace, NamespaceMatch, check_key, check_namespace, entry_of
from .records import encode

TextsOf: TypeAlias = Callable[[dict[str, Any]], Sequence[str]]
"""The texts of a value by which its item is found."""


class GetItem:
    """One item.

    Args:
        namespace: Labels.
        key: Its name there.
        refresh_ttl: Restart its TTL, if it has one.
    """

    __slots__ = ("entry", "key", "namespace", "refresh_ttl")

    def __init__(self, namespace: Sequence[str], key: str, *, refresh_ttl: bool = True) -> None:
        self.namespace = check_namespace(namespace)
        self.key = check_key(key)
        self.entry = entry_of(self.namespace, self.key)
        self.refresh_ttl = refresh_ttl


class PutItem:
    """Write an item, or delete it.

    Args:
        namespace: Labels.
        key: Its name there.
        value: A dict of JSON values; None deletes the item.
        texts: By which it is found; None for none.
        ttl: Seconds, or a timedelta, until it expires; None for never.
    """

    __slots__ = ("entry", "json", "key", "namespace", "texts", "ttl_ms", "value")

    def __init__(
        self,
        namespace: Sequence[str],
        key: str,
        value: Mapping[str, Any] | None,
        *,
        texts: TextsOf | None = None,
        ttl: TTL | None = None,
    ) -> None:
        self.namespace = check_namespace(namespace)
        self.key = check_key(key)
        self.entry = entry_of(self.namespace, self.key)
        self.ttl_ms = ttl_to_milliseconds(ttl)
        self.value: dict[str, Any] | None = None
        self.texts: tuple[str, ...] = ()
        if value is not None:
            self.value, self.json = encode(value, self.namespace, self.key)
            found = texts(self.value) if texts is not None else ()
            self.texts = tuple(dict.fromkeys(text for text in found if text))


class SearchItems:
    """Items in and below a namespace: those nearest to a text first, or by namespace and key.

    Args:
        prefix: Labels; none is the whole store.
        condition: A filter on their values, or None.
        query: A text, or None.
        limit: At most so many.
        offset: After so many.
        refresh_ttl: Restart the TTLs of those that are returned.
    """

    __slots__ = ("condition", "limit", "offset", "prefix", "query", "refresh_ttl")

    def __init__(
        self,
        prefix: Sequence[str],
        *,
        condition: Condition | None = None,
        query: str | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool = True,
    ) -> None:
        self.prefix = check_namespace(prefix, "namespace prefix")
        self.condition = check_condition(condition)
        if query is not None and not isinstance(query, str):
            raise InvalidArgumentError(f"query must be a string or None, not {shown(query)}")
        check_count(limit, "limit", minimum=0)
        check_count(offset, "offset", minimum=0)
        self.query = query
        self.limit = limit
        self.offset = offset
        self.refresh_ttl = refresh_ttl

    @property
    def needed(self) -> int:
        """So many have to be found to tell the page."""
        return self.offset + self.limit if self.limit else 0


@dataclass(frozen=True, slots=True)
class ListNamespaces:
    """Namespaces that have items, in order.

    Args:
        matches: Conditions; all have to fit.
        max_depth: Cut them to so many labels.
        limit: At most so many.
        offset: After so many.
    """

    matches: tuple[NamespaceMatch, ...] = ()
    max_depth: int | None = None
    limit: int = 100
    offset: int = 0

    def __post_init__(self) -> None:
        for match in self.matches:
            if match.at not in ("prefix", "suffix"):
                raise InvalidArgumentError(
                    f'a condition on namespaces is a "prefix" or a "suffix", not {shown(match.at)}'
                )
            check_namespace(match.path, match.at)
        check_count(self.max_depth, "max_depth", optional=True)
        check_count(self.limit, "limit", minimum=0)
        check_count(self.offset, "offset", minimum=0)


Operation: TypeAlias = GetItem | PutItem | SearchItems | ListNamespaces
Place: TypeAlias = tuple[Namespace, str]
