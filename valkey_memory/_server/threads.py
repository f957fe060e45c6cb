"""Blocking work beside an event loop, without the application's executor."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from .._errors import OperationTimeoutError

_LOOK_SECONDS = 0.005


async def in_thread(function: Callable[[], object], seconds: float, what: str) -> None:
    """Run ``function`` in a thread of its own and wait for its end, with its exception.

    The thread is looked at rather than waited for: the application's executor may be full, and the
    way in which a thread wakes a loop is shared between a forked child and its parent.

    Raises:
        OperationTimeoutError: It takes longer than ``seconds``; ``what`` says what. It goes on.
    """
    failures: list[BaseException] = []

    def work() -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised by the one who waits
            failures.append(error)

    thread = threading.Thread(target=work, name=f"valkey-memory: {what}", daemon=True)
    thread.start()
    last = time.monotonic() + seconds
    while thread.is_alive():
        if time.monotonic() > last:
            raise OperationTimeoutError(f"{what} did not end within {seconds:g} s")
        await asyncio.sleep(_LOOK_SECONDS)
    for failure in failures:
        raise failure
