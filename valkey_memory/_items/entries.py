"""How the list of a store's items names them, and the ranges of it that namespaces are.

The list is a sorted set in which all scores are 0, so that its order is that of the entries' bytes.
An entry is every label of the namespace, each with a NUL behind it, one more NUL, and the key. A
label has no NUL and is not empty; so no entry can be read in two ways, what is below a namespace
is one range, and the order is that of namespaces as tuples, then of keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from .._arguments import shown
from .._errors import InvalidArgumentError

Namespace: TypeAlias = tuple[str, ...]
ANY = "*"
"""In the path of a condition: any one label."""

EVERYTHING = b""
"""No entry. In the list of what is not indexed: any item may be one of those."""


def check_namespace(namespace: Sequence[str], name: str = "namespace") -> Namespace:
    """``namespace`` as a tuple.

    Raises:
        InvalidArgumentError: It is no list of labels, or one of them is empty or has a NUL.
    """
    if isinstance(namespace, str) or not isinstance(namespace, Sequence):
        raise InvalidArgumentError(
            f"{name} must be a tuple of strings, such as ('users', 'alice'), not {shown(namespace)}"
        )
    for label in namespace:
        if not isinstance(label, str) or not label or "\0" in label:
            raise InvalidArgumentError(
                f"a label of {name} {shown(namespace)} must be a non-empty string without NUL, "
                f"not {shown(label)}"
            )
        _check_unicode(label, name)
    return tuple(namespace)


def check_key(key: str) -> str:
    """Return ``key``; raise InvalidArgumentError unless it is a text."""
    if not isinstance(key, str):
        raise InvalidArgumentError(f"key must be a string, not {shown(key)}")
    _check_unicode(key, "key")
    return key


def _check_unicode(text: str, name: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"{name} {shown(text)} is not valid Unicode: {error.reason}"
        ) from error


def prefix_of(namespace: Namespace) -> bytes:
    """What the entries in and below ``namespace`` begin with."""
    return "".join(f"{label}\0" for label in namespace).encode()


def entry_of(namespace: Namespace, key: str) -> bytes:
    return prefix_of(namespace) + f"\0{key}".encode()


def place_of(entry: bytes) -> tuple[Namespace, str]:
    """The namespace and the key of an entry."""
    text = entry.decode()
    if text.startswith("\0"):
        return (), text[1:]
    labels, _, key = text.partition("\0\0")
    return tuple(labels.split("\0")), key


class Range(NamedTuple):
    """A part of the list, as ZRANGE BYLEX takes it."""

    start: bytes = b"-"
    stop: bytes = b"+"

    def after(self, entry: bytes) -> Range:
        """What of it is behind ``entry``."""
        return Range(b"(" + entry, self.stop)


def below(namespace: Namespace) -> Range:
    """The entries in and below ``namespace``."""
    if not namespace:
        return Range()
    prefix = prefix_of(namespace)
    return Range(b"[" + prefix, b"(" + prefix[:-1] + b"\1")


def within(namespace: Namespace) -> Range:
    """The entries in ``namespace`` itself."""
    prefix = prefix_of(namespace)
    return Range(b"[" + prefix + b"\0", b"(" + prefix + b"\1")


class NamespaceMatch(NamedTuple):
    """A condition on namespaces.

    Attributes:
        at: Where the path stands: at their beginning, or at their end.
        path: Labels; ``"*"`` is any one.
    """

    at: Literal["prefix", "suffix"]
    path: tuple[str, ...]

    def fits(self, namespace: Namespace) -> bool:
        if len(namespace) < len(self.path):
            return False
        start = 0 if self.at == "prefix" else len(namespace) - len(self.path)
        return all(
            wanted in (ANY, label)
            for wanted, label in zip(self.path, namespace[start:], strict=False)
        )


def common_prefix(matches: Sequence[NamespaceMatch]) -> Namespace:
    """Labels that every namespace begins with that fits ``matches``; as many as these tell."""
    longest: Namespace = ()
    for match in matches:
        if match.at == "prefix":
            stop = match.path.index(ANY) if ANY in match.path else len(match.path)
            longest = max(longest, match.path[:stop], key=len)
    return longest
