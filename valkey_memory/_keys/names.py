"""The parts of a key: ids that may have any character, hash tags, slots, patterns."""

from __future__ import annotations

import binascii
import re
from functools import lru_cache

from .._arguments import shown
from .._errors import ConfigurationError

_ESCAPE = "(?:25|7B|7D|7F|[01][0-9A-F])"
_TO_ENCODE = re.compile(rf"[{{}}\x00-\x1f\x7f]|%(?={_ESCAPE})")
_TO_DECODE = re.compile(f"%({_ESCAPE})")
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
            "that keeps what belongs together in one cluster slot"
        )
    return key_prefix


@lru_cache(maxsize=1024)
def encode(name: str) -> str:
    """An id as it stands in keys. ``decode`` is its inverse."""
    return _TO_ENCODE.sub(lambda m: f"%{ord(m[0]):02X}", name)


def decode(encoded: str) -> str:
    """The id that ``encode`` made ``encoded`` of."""
    return _TO_DECODE.sub(lambda m: chr(int(m[1], 16)), encoded)


def sidecar(key: str, name: str) -> str:
    """The key of what is kept beside ``key``, in the same cluster slot."""
    return f"{{{key}}}:{name}"


def scan_pattern(prefix: str) -> str:
    """A SCAN pattern for every key that begins with ``prefix``, taken literally."""
    return _GLOB.sub(r"\\\1", prefix) + "*"


def slot(key: str) -> int:
    """A key's cluster slot: CRC16 (XMODEM) of its hash tag, or of all of it, modulo 16,384.

    Source: the Valkey cluster specification, "Key distribution model".
    """
    start = key.find("{")
    end = key.find("}", start + 1)
    hashed = key[start + 1 : end] if start >= 0 and end > start + 1 else key
    return binascii.crc_hqx(hashed.encode(), 0) % _SLOTS
