"""A conversation is one List at ``{key_prefix}{session_id}``, the layout of Valkey's own cookbook.

Its sidecars carry the whole list key as hash tag, ``{chat:s1}:archived``: the same cluster slot,
and no match for ``chat:*``.
"""

from __future__ import annotations

from functools import lru_cache

from .._arguments import shown
from .._errors import InvalidSessionIdError
from .names import decode, encode, scan_pattern, sidecar

ARCHIVED = "archived"
META = "meta"
SUMMARY = "summary"
MEMORY = "memory"
SIDECARS: dict[str, str] = {META: "hash", ARCHIVED: "list", SUMMARY: "hash", MEMORY: "hash"}
"""Every sidecar a conversation may have, with the type of its value on the server; first the
record, which many have.

What touches a conversation's expiry, deletes it or moves it takes the list and all of these. A new
one needs its line here, and the scripts heed it.
"""
WRITES = "writes"
"""The list, beside these, of tokens of a conversation's last writes. It is no content of it."""
_OF_ARCHIVED = f"}}:{ARCHIVED}"


def list_key(key_prefix: str, session_id: str) -> str:
    """The key of a conversation's list.

    Raises:
        InvalidSessionIdError: ``session_id`` is no string, is empty, or is not valid Unicode.
    """
    if not isinstance(session_id, str):
        raise InvalidSessionIdError(
            f"session id must be a string, not {type(session_id).__name__}: {shown(session_id)}. "
            "Convert it, with str() for instance."
        )
    if not session_id:
        raise InvalidSessionIdError("session id must not be empty")
    if not session_id.isascii():
        try:
            session_id.encode()
        except UnicodeEncodeError as error:
            raise InvalidSessionIdError(
                f"session id {shown(session_id)} is not valid Unicode: {error.reason}"
            ) from error
    return key_prefix + encode(session_id)


def session_id(key_prefix: str, key: bytes) -> str | None:
    """Whose list, or archived list, this is; None for a key that is neither."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    if text.startswith("{") and text.endswith(_OF_ARCHIVED):
        text = text[1 : -len(_OF_ARCHIVED)]
    encoded = text[len(key_prefix) :]
    if not text.startswith(key_prefix) or not encoded:
        return None
    decoded = decode(encoded)
    return decoded if list_key(key_prefix, decoded) == text else None


def content_keys(key: str) -> tuple[str, ...]:
    """What a conversation consists of: its list, and its sidecars in the order of the table."""
    return conversation_keys(key)[:-1]


def conversation_keys(key: str) -> tuple[str, ...]:
    """All keys of a conversation: its contents, and last the tokens of its writes."""
    return keys_and_types(key)[0][1:]


def keys_and_types(key: str) -> tuple[tuple[str, ...], str]:
    """What a script on a conversation takes: how many keys, and they; and their types.

    These are the first letter of each: list, hash or zset.
    """
    return _keys_and_types(key, *SIDECARS)


@lru_cache(maxsize=1024)
def _keys_and_types(key: str, *sidecars: str) -> tuple[tuple[str, ...], str]:
    keys = key, *[sidecar(key, name) for name in (*sidecars, WRITES)]
    types = "".join([SIDECARS[name][0] for name in sidecars])
    return (str(len(keys)), *keys), f"l{types}l"


def conversations_pattern(key_prefix: str, beginning: str = "") -> str:
    """A SCAN pattern for every list and archived list of session ids with that ``beginning``.

    It lets others through: ``session_id`` tells.
    """
    # A percent sign may stand encoded in a longer id and plain in a shorter one.
    known = list_key(key_prefix, beginning).partition("%")[0] if beginning else ""
    return "*" + scan_pattern(known or key_prefix)
