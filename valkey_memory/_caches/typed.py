"""A serialiser's pair of type and bytes as one value: ``7:msgpack`` and the bytes."""

from __future__ import annotations

_LONGEST_LENGTH = 6


def pack_typed(kind: str, data: bytes) -> bytes:
    """One value of the pair; the type may have any character."""
    name = kind.encode()
    return b"%d:%s%s" % (len(name), name, data)


def unpack_typed(raw: bytes) -> tuple[str, bytes]:
    """The pair.

    Raises:
        ValueError: ``raw`` is none.
    """
    length, colon, rest = raw.partition(b":")
    if not colon or not length.isdigit() or len(length) > _LONGEST_LENGTH:
        raise ValueError(f"no type stands before the value: {raw[:20]!r}")
    end = int(length)
    if end > len(rest):
        raise ValueError(f"a type of {end} bytes is cut off")
    return rest[:end].decode(), rest[end:]
