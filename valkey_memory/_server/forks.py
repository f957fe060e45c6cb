"""Event loops after a fork: what wakes one is shared by parent and child.

A loop that was made before a fork has its pipe and its epoll set in common with the other process.
Each may take the other's wake-ups, and a loop that waits for a reply then sleeps for ever. Nothing
tells such loops from others, so in processes that forked, or were forked, every loop is woken by
the clock while calls wait in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import weakref
from contextlib import AbstractContextManager

_BEAT_SECONDS = 0.005


class _Pulse:
    """Wakes one loop while calls wait in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._next: asyncio.TimerHandle | None = None
        self._waiting = 0

    def __enter__(self) -> None:
        self._waiting += 1
        if self._waiting == 1:
            self._beat()

    def __exit__(self, *_: object) -> None:
        self._waiting -= 1
        if not self._waiting and self._next is not None:
            self._next.cancel()

    def _beat(self) -> None:
        loop = self._loop()
        if loop is not None:
            self._next = loop.call_later(_BEAT_SECONDS, self._beat)


_pulses: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pulse] | None = None
"""None in a process without forks."""
_NO_PULSE = contextlib.nullcontext()


def kept_awake() -> AbstractContextManager[None]:
    """While calls wait inside, the clock wakes the running loop, where forks may keep it asleep."""
    if _pulses is None:
        return _NO_PULSE
    loop = asyncio.get_running_loop()
    found = _pulses.get(loop)
    if found is None:
        found = _pulses[loop] = _Pulse(loop)
    return found


def _after_fork() -> None:
    global _pulses
    _pulses = (
        weakref.WeakKeyDictionary()
    )  # calls that were under way in the parent are not the child's


def _parent_forked() -> None:
    global _pulses
    if _pulses is None:
        _pulses = weakref.WeakKeyDictionary()


os.register_at_fork(after_in_child=_after_fork, after_in_parent=_parent_forked)
