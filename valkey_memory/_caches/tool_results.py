"""Results of tools as stored text and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .._errors import MessageEncodeError
from .._interrupts import let_through
from .._messages.values import BY_FOREIGN_CODE, BY_FOREIGN_DATA, dumps, loads

T = TypeVar("T")

FORMS = ("", "lc", "li")
"""The names of the forms: plain values, LangChain's and LlamaIndex's results."""


def _itself(value: Any) -> Any:
    return value


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ResultForm(Generic[T]):
    """How results are stored: plain values as they are, others as a face translates them.

    Args:
        name: One of ``FORMS``.
        dump: Makes plain data of a result.
        load: The inverse.
        keep: Whether a result may be stored at all; errors may not.
    """

    name: str = ""
    dump: Callable[[T], Any] = _itself
    load: Callable[[Any], T] = _itself
    keep: Callable[[T], bool] = _always

    def to_text(self, result: T) -> bytes:
        """The text that is stored.

        Raises:
            MessageEncodeError: JSON cannot hold the result without loss.
        """
        try:
            return dumps(self.dump(result), "result")
        except BY_FOREIGN_CODE as error:
            let_through(error)
            if isinstance(error, MessageEncodeError):
                raise
            raise MessageEncodeError(f"{type(error).__name__}: {error}") from error

    def from_text(self, text: bytes) -> T:
        """The inverse.

        Raises:
            ValueError: It is none that ``to_text`` made.
        """
        try:
            return self.load(loads(text))
        except BY_FOREIGN_DATA as error:
            let_through(error)
            raise ValueError(f"{type(error).__name__}: {error}") from error


PLAIN: ResultForm[Any] = ResultForm()
