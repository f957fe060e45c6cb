"""What belongs to a user and to no conversation."""

from __future__ import annotations

from .._arguments import check_text
from .names import decode, encode, scan_pattern, sidecar

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
    return sidecar(_of_users(key_prefix) + encode(check_text(user_id, "user_id")), name)


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
    user_id = decode(text[len(before) : -len(after)])
    return user_id if user_id and user_key(key_prefix, user_id, name) == text else None
