"""Pydantic models from fields that are known to be valid, many at once. For the framework faces.

It does what pydantic's ``model_construct`` does for one, which costs more than validating does.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

_SLOTS = (
    "__dict__",
    "__pydantic_fields_set__",
    "__pydantic_extra__",
    "__pydantic_private__",
)


@functools.cache
def _slot_setters() -> list[Callable[[Any, Any], None]]:
    from pydantic import BaseModel  # the core itself does without

    return [BaseModel.__dict__[name].__set__ for name in _SLOTS]


def has_fields(cls: type[BaseModel], *names: str) -> bool:
    """Whether these are all the fields of ``cls``; a version of it with others is not known."""
    return set(cls.model_fields) == set(names)


def construct(cls: type[Any], values: Sequence[dict[str, Any]], given: set[str]) -> list[Any]:
    """A ``cls`` of each of ``values``, its fields; ``given`` are those not left to the default."""
    models = list(map(object.__new__, repeat(cls, len(values))))
    own = map(set.copy, repeat(given, len(values)))
    slots = (values, own, repeat(None), repeat(None))
    for set_slot, items in zip(_slot_setters(), slots, strict=True):
        deque(map(set_slot, models, items), maxlen=0)
    return models
