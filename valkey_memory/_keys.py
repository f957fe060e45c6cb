"""Where a conversation lives: session ids to keys and back. The only place that builds keys.

A conversation is one List at ``{key_prefix}{session_id}``, the layout of Valkey's own cookbook.
Its sidecars carry the whole list key as hash tag, ``{chat:s1}:archived``: the same cluster slot,
and no match for ``chat:*``.

Braces would move the hash tag and control characters break logs and terminals, so these are
percent-encoded. A percent sign is encoded only where it would otherwise be read as such an escape;
every other id, ``50% off`` included, stands in the key as it is.
"""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

from ._arguments import check_text, shown
from ._errors import (
    ConfigurationError,
    DocumentError,
    InvalidSessionIdError,
)

ARCHIVED = "archived"
META = "meta"
SUMMARY = "summary"
MEMORY = "memory"
SIDECARS: dict[str, str] = {ARCHIVED: "list", META: "hash", SUMMARY: "hash", MEMORY: "hash"}
"""Every sidecar a conversation may have, with the type of its value on the server.

What touches a conversation's expiry, deletes it or moves it takes the list and all of these. A new
one needs its line here, and the scripts heed it.
"""
WRITES = "writes"
"""The list, beside these, of tokens of a conversation's last writes. It is no content of it."""

_ESCAPE = "(?:25|7B|7D|7F|[01][0-9A-F])"
_TO_ENCODE = re.compile(rf"[{{}}\x00-\x1f\x7f]|%(?={_ESCAPE})")
_TO_DECODE = re.compile(f"%({_ESCAPE})")
_OF_ARCHIVED = f"}}:{ARCHIVED}"
_SLOTS = 16_384
_GLOB = re.compile(r"([*?\[\]\\^-])")


def check_prefix(key_prefix: str) -> str:
    """Return ``key_prefix``; raise ConfigurationError when keys built on it would not work."""
    if not isinstance(key_prefix, str):
        raise ConfigurationError(f"key_prefix must be a string, not {shown(key_prefix)}")
    try:
        key_prefix.encode()
    except UnicodeEncodeError as error:
        raise ConfigurationError(
            f"key_prefix {shown(key_prefix)} is not valid Unicode: {error.reason}"
        ) from error
    if "{" in key_prefix or "}" in key_prefix:
        raise ConfigurationError(
            f"key_prefix {shown(key_prefix)} must not contain braces: they would move the hash tag "
            "that keeps a conversation and its sidecars in one cluster slot"
        )
    return key_prefix


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
    return key_prefix + _encode(session_id)


@lru_cache(maxsize=1024)
def _encode(session_id: str) -> str:
    return _TO_ENCODE.sub(lambda m: f"%{ord(m[0]):02X}", session_id)


def _decode(encoded: str) -> str:
    return _TO_DECODE.sub(lambda m: chr(int(m[1], 16)), encoded)


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
    decoded = _decode(encoded)
    return decoded if list_key(key_prefix, decoded) == text else None


def sidecar(key: str, name: str) -> str:
    """The key of a conversation's sidecar, in the same cluster slot as the list ``key``."""
    return f"{{{key}}}:{name}"


def content_keys(key: str) -> list[str]:
    """What a conversation consists of: its list, and its sidecars in the order of the table."""
    return [key, *(sidecar(key, name) for name in SIDECARS)]


def conversation_keys(key: str) -> list[str]:
    """All keys of a conversation: its contents, and last the tokens of its writes."""
    return [*content_keys(key), sidecar(key, WRITES)]


_DEFAULT_PREFIX = "chat:"
SESSIONS = "sessions"
ERASING = "erasing"
"""Of a user: there while what is known of them is being erased."""


def user_key(key_prefix: str, user_id: str, name: str) -> str:
    """The key of what belongs to a user and to no conversation: ``{user:alice}:sessions``.

    All that a user has under one prefix of conversations is in one cluster slot. Another prefix
    than ``chat:`` stands in the tag, ``{user@app:@alice}``: it is another user.

    Raises:
        InvalidArgumentError: ``user_id`` is no text, or an empty one.
    """
    return sidecar(_of_users(key_prefix) + _encode(check_text(user_id, "user_id")), name)


def _of_users(key_prefix: str) -> str:
    """What stands before a user's id in keys."""
    if key_prefix == _DEFAULT_PREFIX:
        return "user:"
    prefix = key_prefix.replace("%", "%25").replace("@", "%40")
    return f"user@{prefix}@"


def users_pattern(key_prefix: str, name: str) -> str:
    """A SCAN pattern for every user's key of that name. ``user_of`` tells which are."""
    return f"{{{scan_pattern(_of_users(key_prefix))}}}:{name}"


def user_of(key_prefix: str, key: bytes, name: str) -> str | None:
    """Whose key of that name this is; None for a key that is nobody's."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    before, after = f"{{{_of_users(key_prefix)}", f"}}:{name}"
    if not text.startswith(before) or not text.endswith(after):
        return None
    user_id = _decode(text[len(before) : -len(after)])
    return user_id if user_id and user_key(key_prefix, user_id, name) == text else None


def scan_pattern(prefix: str) -> str:
    """A SCAN pattern for every key that begins with ``prefix``, taken literally."""
    return _GLOB.sub(r"\\\1", prefix) + "*"


def conversations_pattern(key_prefix: str, beginning: str = "") -> str:
    """A SCAN pattern for every list and archived list of session ids with that ``beginning``.

    It lets others through: ``session_id`` tells.
    """
    # A percent sign may stand encoded in a longer id and plain in a shorter one.
    known = list_key(key_prefix, beginning).partition("%")[0] if beginning else ""
    return "*" + scan_pattern(known or key_prefix)


def slot(key: str) -> int:
    """A key's cluster slot: CRC16 (XMODEM) of its hash tag, or of all of it, modulo 16,384.

    Source: the Valkey cluster specification, "Key distribution model".
    """
    start = key.find("{")
    end = key.find("}", start + 1)
    hashed = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return binascii.crc_hqx(hashed.encode(), 0) % _SLOTS


# Documents of a vector index are at ``{index}:{id}``; its log of changes is its sidecar.


def document_prefix(index: str) -> str:
    """What the keys of an index's documents begin with."""
    return f"{index}:"


def document_key(index: str, document_id: object) -> str:
    """The key of a document.

    Raises:
        DocumentError: An id that is no string, empty, or not valid Unicode.
    """
    if not isinstance(document_id, str) or not document_id:
        raise DocumentError(f"document id must be a non-empty string, not {shown(document_id)}")
    try:
        document_id.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"document id {shown(document_id)}: {error.reason}") from error
    return document_prefix(index) + document_id


def document_id(index: str, key: bytes) -> str:
    """The id of the document at ``key``."""
    return key.decode()[len(document_prefix(index)) :]


def episode_key(index: str, document_id: str) -> str:
    """The list with the messages of an episode."""
    return sidecar(document_key(index, document_id), "conversation")


def changes_key(index: str) -> str:
    """The stream that tells exact searches which documents changed."""
    return sidecar(index, "changes")


def shape_key(index: str) -> str:
    """What exact search remembers of an index's shape. In the slot of its log of changes."""
    return sidecar(index, "shape")


def probe_key(index: str) -> str:
    """A key that holds nothing, to see whether the server knows a command."""
    return f"{document_prefix(index)}:probe"


# A graph's thread has two keys in one slot: the names of what there is, in order, and the values.


def thread_keys(key_prefix: str, thread_id: str) -> tuple[str, str]:
    """The index and the values of a thread: ``{graph:t1}:index`` and ``{graph:t1}:values``.

    Raises:
        InvalidArgumentError: ``thread_id`` is no text, or an empty one.
    """
    thread = key_prefix + _encode(check_text(thread_id, "thread_id"))
    return sidecar(thread, "index"), sidecar(thread, "values")


def threads_pattern(key_prefix: str) -> str:
    """A SCAN pattern for the values of every thread. ``thread_of`` tells which are."""
    return f"{{{scan_pattern(key_prefix)}}}:values"


def thread_of(key_prefix: str, key: bytes) -> str | None:
    """Whose values these are; None for a key that holds no thread's."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    before, after = f"{{{key_prefix}", "}:values"
    if not text.startswith(before) or not text.endswith(after):
        return None
    thread_id = _decode(text[len(before) : -len(after)])
    return thread_id if thread_id and thread_keys(key_prefix, thread_id)[1] == text else None


# Items of a store are at ``{store}:{namespace}/{key}``, each label and the key encoded; the sorted
# sets that list all of them, or some, share one slot.

_PART = re.compile(r"[%/{}\x00-\x1f\x7f]")


def item_key(store: str, namespace: tuple[str, ...], key: str) -> str:
    """The key of an item: ``store:users/alice/profile``."""
    parts = (_PART.sub(lambda m: f"%{ord(m[0]):02X}", part) for part in (*namespace, key))
    return f"{store}:{'/'.join(parts)}"


def entries_key(store: str) -> str:
    """The sorted set that lists a store's items."""
    return sidecar(store, "items")


def missing_key(store: str) -> str:
    """The sorted set of listed items that were not there when they were met, by the time then."""
    return sidecar(store, "missing")


def unindexed_key(store: str) -> str:
    """The sorted set of listed items that the index does not tell of."""
    return sidecar(store, "unindexed")


def expiring_key(store: str) -> str:
    """The sorted set of listed items that have a TTL, by when to look whether they are there."""
    return sidecar(store, "expiring")


def item_index(store: str) -> str:
    """The vector index of a store's items. No name of a store has a dot, so it is no store's."""
    return f"{store}.vectors"


# Results of tools are at ``{key_prefix}{tool}:{digest}``, those of one user at
# ``{key_prefix}{tool}:{user}:{digest}``; while one is made, its claim is beside it. Colons in names
# and ids are encoded, so the parts of a key are what lies between its colons.

_TO_ENCODE_IN_PART = re.compile(r"[{}:%\x00-\x1f\x7f]")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CLAIM = "claim"
_OF_CLAIM = f"}}:{_CLAIM}"


def _part(text: str) -> str:
    return _TO_ENCODE_IN_PART.sub(lambda m: f"%{ord(m[0]):02X}", text)


def tool_key(key_prefix: str, tool: str, digest: str, user_id: str | None = None) -> str:
    """The key of a tool's result, by the digest of its arguments.

    Raises:
        InvalidArgumentError: ``tool`` or ``user_id`` is no text, or an empty one.
    """
    parts = [_part(check_text(tool, "tool"))]
    if user_id is not None:
        parts.append(_part(check_text(user_id, "user_id")))
    return key_prefix + ":".join([*parts, digest])


def tool_claim_key(key: str) -> str:
    """The key that says who makes the result at ``key``, in its slot."""
    return sidecar(key, _CLAIM)


def tool_keys_pattern(key_prefix: str) -> str:
    """A SCAN pattern for every result and claim. It lets others through: ``is_tool_key`` tells."""
    return "*" + scan_pattern(key_prefix)


def tool_key_of(
    key_prefix: str, key: bytes, tool: str | None = None, user_id: str | None = None
) -> str | None:
    """The key of the result that ``key``, or the claim at ``key``, is of.

    None for one of another tool, or of another user, and for what is neither result nor claim.
    """
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    if text.startswith("{") and text.endswith(_OF_CLAIM):
        text = text[1 : -len(_OF_CLAIM)]
    *names, digest = text[len(key_prefix) :].split(":")
    if not text.startswith(key_prefix) or not _DIGEST.fullmatch(digest):
        return None
    if len(names) not in (1, 2) or not all(names):
        return None
    name, *user = names
    if tool is not None and name != _part(tool):
        return None
    if user_id is not None and user != [_part(user_id)]:
        return None
    return text


# The log of a run is a stream at ``{key_prefix}{run_id}``; the list of runs is a sidecar of the
# prefix.


def run_key(key_prefix: str, run_id: str) -> str:
    """The stream of a run's events.

    Raises:
        InvalidArgumentError: ``run_id`` is no text, or an empty one.
    """
    return key_prefix + _encode(check_text(run_id, "run_id"))


def runs_key(key_prefix: str) -> str:
    """The sorted set of the last runs, by when they were last active."""
    return sidecar(key_prefix, "runs")


# Entries of caches are at ``{key_prefix}{scope}:{scope}:{name}``. Scopes and names may be long, and
# have any character, so each is a hash: what has one beginning is one scope, whatever it is called.

_DIGEST_BYTES = 16
_HASH = b"[0-9a-f]{%d}" % (2 * _DIGEST_BYTES)
_ENTRY = re.compile(b"(?:%s:)*%s" % (_HASH, _HASH))


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
