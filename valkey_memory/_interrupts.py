"""What an application's signal handlers throw, for a time limit, through whatever code runs."""

from __future__ import annotations

import inspect
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
    """A handler is given a number and the frame that it interrupts, the one below its own."""
    interrupted, code = frame.f_back, frame.f_code
    if interrupted is None:
        return False
    takes_more = bool(code.co_flags & inspect.CO_VARARGS)
    arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + takes_more]
    values = [frame.f_locals.get(name) for name in arguments]
    if takes_more and type(values[-1]) is tuple:
        values += values[-1]
    has_number = any(issubclass(type(value), int) for value in values)
    return has_number and any(value is interrupted for value in values)
