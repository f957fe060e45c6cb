"""Python values as tags, numbers and texts: the same for documents and for what they are asked.

A declared field may hold more than JSON has. A date compares as the text of its ISO form where the
field is a tag or a text, and as Unix seconds where it is numeric; a date and time without a zone is
taken as UTC, so that every machine finds the same documents.
"""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

_TEXTS = (dt.date, dt.time, uuid.UUID, Decimal)  # a datetime is a date
_DIGITS = 18  # more than 2**53 has; an exponent may be a billion
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def unwrapped(value: Any) -> Any:
    """A NumPy scalar as the Python value that equals it; anything else as it is."""
    kind = type(value)
    if kind.__module__ != "numpy" or getattr(value, "shape", None) != ():
        return value
    if value.dtype.kind in "mM":
        value = value.astype(f"{value.dtype.kind}8[us]")  # finer ones have no equal in Python
    found = value.item()
    return float(found) if type(found).__module__ == "numpy" else found  # a longdouble


def as_text(value: Any) -> Any:
    """What a tag or a text holds for ``value``; itself where it has no text of its own."""
    if type(value) is str:  # nearly always, and this is asked for every document
        return value
    value = unwrapped(value)
    if isinstance(value, _TEXTS):
        return str(value) if isinstance(value, (uuid.UUID, Decimal)) else value.isoformat()
    return value


def as_number(value: Any) -> Any:
    """What a numeric field holds for ``value``; itself where it has no number of its own."""
    if type(value) is int or type(value) is float:
        return value
    value = unwrapped(value)
    if isinstance(value, dt.datetime):
        aware = value if value.utcoffset() is not None else value.replace(tzinfo=dt.UTC)
        return (aware - _EPOCH).total_seconds()
    if isinstance(value, dt.date):
        return (value - _EPOCH.date()).days * 86_400
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal) and not value.is_snan():
        whole = value.is_finite() and value.adjusted() < _DIGITS and value == int(value)
        return int(value) if whole else float(value)
    return value
