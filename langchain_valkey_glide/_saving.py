"""What is said of messages that could not be saved."""

from __future__ import annotations

import logging
from types import TracebackType

_log = logging.getLogger("valkey_memory")


class Saving:
    """``with Saving(session_id):`` logs what goes wrong while messages are saved; it is raised.

    A class, since ``contextlib.contextmanager`` takes four times as long at each turn.
    """

    __slots__ = ("_session_id",)

    def __init__(self, session_id: str) -> None:
        self._session_id = session_id

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            name = type(error).__name__
            _log.error("messages of %r were not saved: %s: %s", self._session_id, name, error)
