"""Many writers, one conversation: nothing lost, nothing doubled, nothing half seen."""

from __future__ import annotations

import multiprocessing
import threading

import pytest

from valkey_memory import MessageStore

from ..conversations.test_message_lists import said, texts

PROCESSES = 8
APPENDS = 250


def append_many(url: str, prefix: str, worker: int) -> None:
    store = MessageStore(url=url, key_prefix=prefix, ttl=600)
    for number in range(APPENDS):
        store.extend("s", said(f"{worker}-{number}-question", f"{worker}-{number}-answer"))


@pytest.mark.parametrize("topology", ["standalone", "cluster"])
def test_eight_processes_append_to_one_conversation(
    request: pytest.FixtureRequest, topology: str, prefix: str
) -> None:
    url = request.getfixturevalue("url" if topology == "standalone" else "cluster_url")
    # Each imports nothing anew, for which processes that are spawned need longer than for the test.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    workers = [
        context.Process(target=append_many, args=(url, prefix, worker))
        for worker in range(PROCESSES)
    ]
    for process in workers:
        process.start()
    for process in workers:
        process.join(100)
    assert [process.exitcode for process in workers] == [0] * PROCESSES
    found = texts(MessageStore(url=url, key_prefix=prefix).messages("s"))
    assert len(found) == PROCESSES * APPENDS * 2
    assert len(set(found)) == len(found)
    # Each worker's turns are whole and in its order.
    for question, answer in zip(found[::2], found[1::2], strict=True):
        assert question.removesuffix("question") == answer.removesuffix("answer")
    for worker in range(PROCESSES):
        own = [text for text in found if text.startswith(f"{worker}-")]
        assert own == sorted(own, key=lambda text: int(text.split("-")[1]))


def test_readers_never_see_a_half_replaced_conversation(url: str, prefix: str) -> None:
    store = MessageStore(url=url, key_prefix=prefix)
    store.replace("s", said(*["a"] * 200))
    stop = threading.Event()

    def replace() -> None:
        for letter in "bcdefghij" * 10:
            store.replace("s", said(*[letter] * 200))
        stop.set()

    writer = threading.Thread(target=replace)
    writer.start()
    seen = []
    while not stop.is_set():
        seen.append(texts(store.messages("s")))
    writer.join()
    assert all(len(found) == 200 and len(set(found)) == 1 for found in seen)
    assert len({found[0] for found in seen}) > 1


def test_archiving_while_appending_loses_nothing(url: str, prefix: str) -> None:
    store = MessageStore(url=url, key_prefix=prefix)

    def append() -> None:
        for number in range(500):
            store.append("s", said(str(number))[0])

    writer = threading.Thread(target=append)
    writer.start()
    moved: list[str] = []
    while writer.is_alive():
        moved += texts(store.archive_oldest("s", 7))
    writer.join()
    everything = texts(store.archived("s", and_active=True))
    assert everything == [str(number) for number in range(500)]
    assert texts(store.archived("s")) == moved
