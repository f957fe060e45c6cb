"""What an application's signal handlers throw, for a time limit, through whatever code runs."""

from __future__ import annotations

from types import FrameType


def let_through(error: Exception) -> None:
    """Raise ``error`` again where a signal handler threw it; else do nothing.

    For those who catch what foreign code throws: a handler's exception may look like it, be it a
    RuntimeError or a ValueError, and is for the application.
    """
    step = error.__traceback__
    while step is not None:
        if _is_of_handler(step.tb_frame):
            raise error
        step = step.tb_next


def _is_of_handler(frame: FrameType) -> bool:
    """A handler is given the frame that it interrupts, which is the one below its own."""
    interrupted = frame.f_back
    return interrupted is not None and any(
        value is interrupted
        or (type(value) is tuple and any(part is interrupted for part in value))
        for value in frame.f_locals.values()
    )
