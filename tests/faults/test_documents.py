"""Documents are written and deleted by id, so the library sends such a call again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from valkey_memory import Document, ValkeyConnection, VectorIndex

from .callers import Caller
from .proxy import Proxy

pytestmark = pytest.mark.timeout(90)


def documents(*numbers: int) -> list[Document]:
    return [Document(f"d{n}", f"text {n}", {"user_id": "alice"}, [1.0, n, 0.0]) for n in numbers]


@contextlib.contextmanager
def fault(proxy: Proxy, kind: str) -> Iterator[None]:
    """What the first try meets; it is over before the second."""
    if kind == "dead path":
        proxy.kill_paths()
        yield
        return
    proxy.swallow_replies = True

    def mend() -> None:
        if kind == "cut":
            proxy.cut()
        proxy.swallow_replies = False

    timer = threading.Timer(0.15 if kind == "cut" else 0.4, mend)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.mark.parametrize("kind", ["reply lost", "cut", "dead path"])
def test_a_write_whose_reply_does_not_come(
    proxy: Proxy, runner: asyncio.Runner | None, kind: str
) -> None:
    with (
        ValkeyConnection.from_url(proxy.url, request_timeout=0.3) as connection,
        ValkeyConnection.from_url(f"valkey://127.0.0.1:{proxy.target}") as other,
    ):
        options: dict[str, Any] = {"fields": {"user_id": "tag"}, "search": "exact"}
        reader = VectorIndex("notes", 3, connection=other, **options)
        call = Caller(VectorIndex("notes", 3, connection=connection, **options), runner)
        call("upsert", documents(0, 1))
        assert reader.count() == 2
        with fault(proxy, kind):
            call("upsert", documents(1, 2, 3))
        assert reader.count({"user_id": "alice"}) == call("count") == 4
        with fault(proxy, kind):
            deleted = call("delete", ["d0", "d3"])
        # That the first try deleted them is not known to the second.
        assert deleted == (2 if kind == "dead path" else 0)
        assert sorted(one.id for one in reader.page()) == ["d1", "d2"]


@pytest.mark.parametrize("retry_writes", [True, False])
def test_everything_is_deleted_over_a_broken_connection(
    proxy: Proxy, runner: asyncio.Runner | None, retry_writes: bool
) -> None:
    """By SCAN; and with or without tokens, which documents do not need."""
    with ValkeyConnection.from_url(
        proxy.url, request_timeout=0.3, retry_writes=retry_writes
    ) as connection:
        call = Caller(VectorIndex("notes", 3, connection=connection, search="exact"), runner)
        call("upsert", documents(0, 1))
        with fault(proxy, "cut"):
            call("delete_where", None)
        assert call("count") == 0
        with fault(proxy, "cut"):
            call("upsert", documents(2))
        assert call("count") == 1
