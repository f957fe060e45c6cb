"""Filters as valkey-search query strings, and the encodings that make them exact.

Tag values and words are encoded to letters, digits and underscores, which mean nothing in a query;
so no value can change one, on any release of valkey-search. Every document carries the tag ``_has``
with the names of the declared fields that it has, and ``_any``, which all have.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache

from .._errors import FilterError
from .evaluation import Indexed
from .expressions import And, Exists, Filter, Not, NumberIn, Or, TagIn, TagValue, TextHas

HAS = "_has"
ANY = "_any"
SEPARATOR = "|"
MATCH_ALL = f"@{HAS}:{{{ANY}}}"
MATCH_NONE = f"@{HAS}:{{_none}}"

# valkey-search refuses longer query strings, and more terms.
MAX_QUERY_BYTES = 10_240
MAX_QUERY_TERMS = 1_000

_MAX_ENCODED = 200
_PLAIN = re.compile(r"[^A-Za-z0-9]")
_PLAIN_WORD = re.compile(r"[a-z0-9]+\Z")


def encode_tag(value: TagValue) -> str:
    """A tag value as ``[A-Za-z0-9_]+``; different values differ.

    Letters and digits stand for themselves, other bytes of UTF-8 become ``_`` and two hex digits;
    ``_t`` and ``_f`` are booleans, ``_i`` begins an integer, ``_z`` is the empty string, and ``_h``
    a SHA-256 of what would be longer than 200 characters.
    """
    if isinstance(value, bool):
        return "_t" if value else "_f"
    if isinstance(value, int):
        encoded = f"_i{value}" if value >= 0 else f"_im{-value}"
    elif not value:
        return "_z"
    else:
        encoded = _PLAIN.sub(
            lambda match: "".join(f"_{byte:02X}" for byte in _utf8(match[0])), value
        )
    if len(encoded) > _MAX_ENCODED:
        return "_h" + hashlib.sha256(encoded.encode()).hexdigest()
    return encoded


_encoded_name = lru_cache(encode_tag)
"""Of declared fields, which are few and short; every document has them."""


def encode_word(word: str) -> str:
    """A casefolded word as ``[a-z0-9]+``; different words differ."""
    if _PLAIN_WORD.match(word) and not word.startswith("zx") and len(word) <= _MAX_ENCODED:
        return word
    encoded = "zx" + _utf8(word).hex()
    if len(encoded) > _MAX_ENCODED:
        return "zxz" + hashlib.sha256(encoded.encode()).hexdigest()
    return encoded


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(f"{text!r:.80} is not valid Unicode: {error.reason}") from error


def index_tags(document: Indexed) -> dict[str, str]:
    """The tag fields to store with a document, ``_has`` among them; lists joined by ``|``."""
    present = [*document.tags, *document.numbers, *document.words]
    fields = {
        name: SEPARATOR.join(encode_tag(value) for value in values)
        for name, values in document.tags.items()
    }
    fields[HAS] = SEPARATOR.join([ANY, *map(_encoded_name, present)])
    return fields


def index_words(document: Indexed) -> dict[str, str]:
    """The text fields to store with a document."""
    return {
        name: " ".join(encode_word(word) for word in found)
        for name, found in document.words.items()
    }


def compile_filter(condition: Filter | None) -> str:
    """A query string that matches what ``_filters.matches`` does; everything when None.

    Raises:
        FilterError: The string would be longer than the server takes.
    """
    query = MATCH_ALL if condition is None else _compile(condition)
    terms = query.count("@") + query.count(SEPARATOR)
    if len(query) > MAX_QUERY_BYTES or terms > MAX_QUERY_TERMS:
        raise FilterError(
            f"the filter is too large for valkey-search: {len(query)} bytes and {terms} terms, "
            f"of {MAX_QUERY_BYTES} and {MAX_QUERY_TERMS} allowed. Split long lists of values"
        )
    return query


def _number(value: float | None, infinity: str, *, exclusive: bool) -> str:
    if value is None or math.isinf(value):
        return infinity
    return f"({value!r}" if exclusive else repr(value)


def _compile(condition: Filter) -> str:
    if isinstance(condition, TagIn):
        if not condition.values:
            return MATCH_NONE
        values = SEPARATOR.join(dict.fromkeys(map(encode_tag, condition.values)))
        return f"@{condition.field}:{{{values}}}"
    if isinstance(condition, NumberIn):
        if condition.is_empty():
            return MATCH_NONE
        low = _number(condition.low, "-inf", exclusive=condition.above)
        high = _number(condition.high, "+inf", exclusive=condition.below)
        return f"@{condition.field}:[{low} {high}]"
    if isinstance(condition, TextHas):
        if not condition.words:
            return MATCH_NONE
        encoded = " ".join(encode_word(word) for word in condition.words)
        quoted = f'"{encoded}"' if " " in encoded else encoded
        # The "or" adds nothing, but has the text looked at for itself. Without it valkey-search
        # 1.2.1 takes every text condition of a KNN query on HNSW for satisfied when the query has
        # neither "or" nor "not" (@content:word @user_id:{alice} finds all that alice has), and
        # finds nothing for a phrase and one of its words side by side.
        return f"(@{condition.field}:{quoted} | {MATCH_NONE})"
    if isinstance(condition, Exists):
        return f"@{HAS}:{{{encode_tag(condition.field)}}}"
    if isinstance(condition, Not):
        return f"({MATCH_ALL} -{_operand(condition.operand)})"
    if isinstance(condition, And):
        if not condition.operands:
            return MATCH_ALL
        return f"({' '.join(_operand(operand) for operand in condition.operands)})"
    if isinstance(condition, Or):
        if not condition.operands:
            return MATCH_NONE
        return f"({' | '.join(_operand(operand) for operand in condition.operands)})"
    raise FilterError(f"unknown filter {condition!r}")


def _operand(condition: Filter) -> str:
    compiled = _compile(condition)
    return compiled if compiled.startswith("(") else f"({compiled})"
