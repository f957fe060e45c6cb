"""Entries of caches are at ``{key_prefix}{scope}:{scope}:{name}``.

Scopes and names may be long, and have any character, so each is a hash: what has one beginning is
one scope, whatever it is called.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

_DIGEST_BYTES = 16
_DIGEST = b"[0-9a-f]{%d}" % (2 * _DIGEST_BYTES)
_ENTRY = re.compile(b"(?:%s:)*%s" % (_DIGEST, _DIGEST))


def digest(*parts: str) -> str:
    """A hash of texts; other texts, or as many letters in other parts, have another one."""
    found = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        text = part.encode("utf-8", "surrogatepass")
        found.update(b"%d:" % len(text))
        found.update(text)
    return found.hexdigest()


def entries_prefix(key_prefix: str, scopes: Iterable[Sequence[str]]) -> str:
    """What the keys begin with of all entries of a cache in these scopes, the outermost first."""
    return key_prefix + "".join(f"{digest(*scope)}:" for scope in scopes)


def entry_key(key_prefix: str, scopes: Iterable[Sequence[str]], name: str) -> str:
    """The key of a cache's entry."""
    return entries_prefix(key_prefix, scopes) + digest(name)


def is_entry(prefix: str, key: bytes) -> bool:
    """Whether ``key``, which begins with ``entries_prefix``, is that of an entry."""
    return _ENTRY.fullmatch(key[len(prefix.encode()) :]) is not None
