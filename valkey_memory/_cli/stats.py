"""``stats``: the memory that conversations and indexes take."""

from __future__ import annotations

import heapq
from typing import Annotated, Any

import typer

from .._conversations.listing import Conversation
from .._vectors.discovery import FoundIndex, indexes_plan, names_plan
from . import output
from .app import Json, KeyPrefix, Timeout, Url, connected
from .output import amount, say, size, visible
from .walking import conversation_pages


def stats(
    top: Annotated[
        int, typer.Option(min=0, metavar="N", help="How many of the largest to list.")
    ] = 10,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Memory per conversation and per index, and the health of the indexes.

    Memory is what MEMORY USAGE estimates. An index's is that of its documents, from a sample of
    100; what the index itself takes comes on top.
    """
    with connected(url, timeout, key_prefix) as connection:
        number = messages = archived = without_ttl = used = 0
        known = True
        largest: list[tuple[int, str, Conversation]] = []
        for page in conversation_pages(connection, key_prefix, memory=True):
            for one in page:
                number += 1
                messages += one.messages
                archived += one.archived
                without_ttl += one.ttl_ms is None
                used += one.bytes or 0
                known = known and one.bytes is not None
                heapq.heappush(largest, (one.bytes or 0, one.id, one))
                if len(largest) > top:
                    heapq.heappop(largest)
        names = connection.run(names_plan())
        indexes = connection.run(indexes_plan(names, memory=True))
        address = connection.address
    listed = [one for _, _, one in sorted(largest, reverse=True)]
    if json:
        output.print_json(
            {
                "address": address,
                "conversations": number,
                "messages": messages,
                "archived": archived,
                "without_ttl": without_ttl,
                "bytes": used if known else None,
                "largest": [_conversation_json(one) for one in listed],
                "indexes": [_index_json(one) for one in indexes],
            }
        )
        return
    say((amount(number, "conversation"), "bold"), f" under {visible(key_prefix)} at {address}")
    say(f"  {amount(messages, 'message')}, {archived:,} archived")
    if not known:
        say("  memory unknown: the server does not permit MEMORY USAGE")
    elif number:
        say(f"  {size(used)}, {size(used // number)} each")
    say(f"  {without_ttl:,} never expire")
    if listed:
        say()
        say(("    MEMORY  MESSAGES  ARCHIVED  SESSION", "bold"))
    for one in listed:
        say(
            (f"{size(one.bytes):>10}", "cyan"),
            f"  {one.messages:>8,}  {one.archived or '-':>8}  {visible(one.id)}",
        )
    say()
    say((amount(len(indexes), "index", "indexes"), "bold"))
    for index in indexes:
        _print_index(index)


def _print_index(index: FoundIndex) -> None:
    state = [] if index.ready else [("  still being filled", "yellow")]
    if index.failures:
        state.append((f"  {index.failures:,} documents could not be indexed", "red"))
    say("  ", (visible(index.name), "bold"), *(state or [("  healthy", "green")]))
    shape = [
        "exact search" if index.search == "exact" else index.algorithm or "no vectors",
        index.storage,
        f"{index.dimension} numbers",
        *([index.metric] if index.metric else []),
    ]
    say(f"    {', '.join(shape)}")
    memory = "memory unknown"
    if index.bytes_per_document is not None:
        memory = f"about {size(index.bytes)}, {size(index.bytes_per_document)} each"
    say(f"    {amount(index.documents, 'document')}, {memory}")
    if index.fields:
        say(("    " + visible(", ".join(f"{n} ({k})" for n, k in index.fields.items())), "dim"))


def _conversation_json(one: Conversation) -> dict[str, Any]:
    return {
        "session_id": one.id,
        "messages": one.messages,
        "archived": one.archived,
        "ttl_seconds": one.ttl,
        "bytes": one.bytes,
    }


def _index_json(index: FoundIndex) -> dict[str, Any]:
    return {
        "name": index.name,
        "search": index.search,
        "storage": index.storage,
        "dimension": index.dimension,
        "metric": index.metric,
        "algorithm": index.algorithm,
        "documents": index.documents,
        "failures": index.failures,
        "ready": index.ready,
        "fields": dict(index.fields),
        "bytes_per_document": index.bytes_per_document,
        "bytes": index.bytes,
    }
