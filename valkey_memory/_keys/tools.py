"""Results of tools are at ``{key_prefix}{tool}:{digest}``, those of a user at
``{key_prefix}{tool}:{user}:{digest}``.

While one is made, its claim is beside it. Colons in names and ids are encoded, so the parts of a
key are what lies between its colons.
"""

from __future__ import annotations

import re

from .._arguments import check_text
from .names import scan_pattern, sidecar

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
