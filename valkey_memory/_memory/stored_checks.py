"""What is judged of what is stored: conversations, indexes, and a long-term memory."""

from __future__ import annotations

from collections.abc import Iterator

from .._vectors.discovery import FoundIndex
from .findings import Facts, Finding, MemoryIndex
from .wording import amount, examples

_NEARLY_FULL = 0.8


def check_ttls(facts: Facts) -> Iterator[Finding]:
    """Conversations expire, or they do not; some of each is an oversight."""
    found = facts.conversations
    if found is None:
        return
    looked = amount(found.looked_at, "conversation")
    if found.more:
        looked = f"the first {looked}"
    endless = len(found.without_ttl)
    if not found.looked_at:
        yield Finding("ttl", "ok", "no conversations under this key prefix")
    elif endless and endless < found.looked_at:
        yield Finding(
            "ttl",
            "warning",
            f"{endless:,} of {looked} never expire, the others do",
            "A writer without ttl= made them, such as another program or an older release: "
            f"{examples(found.without_ttl)}.",
            "Pass the same ttl= to every store, and end these with "
            "MessageStore().set_ttl(session_id, seconds).",
        )
    else:
        yield Finding("ttl", "ok", f"{looked}, {'none expires' if endless else 'all expire'}")


def check_indexes(facts: Facts) -> Iterator[Finding]:
    """Every document is in its index, and the index has the shape that was asked for."""
    if facts.indexes is None:
        yield Finding("index", "ok", "indexes unknown: the server does not list them")
        return
    for index in facts.indexes:
        findings = list(_index_findings(facts, index))
        what = f"index {index.name!r}: {amount(index.documents, 'document')}, "
        shape = f"{index.dimension} numbers, {index.storage}, {index.search} search"
        yield from findings or [Finding("index", "ok", what + shape)]
    if facts.index is not None and facts.index not in {one.name for one in facts.indexes}:
        yield Finding(
            "index",
            "problem",
            f"there is no index {facts.index!r}",
            f"The server has {', '.join(repr(one.name) for one in facts.indexes) or 'none'}.",
            "Check the name and the server; the first write of a vector store makes its index.",
        )


def _index_findings(facts: Facts, index: FoundIndex) -> Iterator[Finding]:
    wanted = facts.dimension
    if index.name == facts.index and not index.dimension:
        yield Finding(
            "index",
            "problem",
            f"index {index.name!r} has no vector field _embedding",
            "Another library or program made it.",
            "Use another index name.",
        )
    elif index.name == facts.index and wanted is not None and index.dimension != wanted:
        yield Finding(
            "index",
            "problem",
            f"index {index.name!r} has vectors of {index.dimension} numbers, not {wanted}",
            "It was made with another embedding model, or with another size asked of it. Such "
            "vectors cannot be compared.",
            "Use the model that it was made with, or another index name for this one; or drop the "
            "index with its documents and embed them again.",
        )
    if index.failures:
        yield Finding(
            "index",
            "problem",
            f"{amount(index.failures, 'document')} of index {index.name!r} could not be indexed",
            "They are stored and no search finds them: their vectors have another length, or a "
            "field another type. Other programs wrote them; this library refuses such documents.",
            f"Look at the keys {index.name}:*, and write those documents anew through the library.",
        )
    if not index.ready:
        yield Finding(
            "index",
            "warning",
            f"index {index.name!r} is still being filled",
            "Documents that were there before the index are indexed in the background.",
            "Wait: VectorIndex.wait_until_ready, or run this again in a moment.",
        )


def check_memory(facts: Facts) -> Iterator[Finding]:
    """The index of a ``LongTermMemory`` can serve it."""
    memory = facts.memory
    if memory is None:
        return
    if memory.search == "server" and facts.search_commands is False:
        yield Finding(
            "search",
            "problem",
            'no search module, and search is "server"',
            "The server has no FT commands, so every call of this memory fails.",
            "Load valkey-search (the container image valkey/valkey-bundle has it), or pass "
            'search="auto", which compares vectors in the client where there is none.',
        )
        return
    if memory.misfit:
        yield Finding(
            "index",
            "problem",
            f"index {memory.name!r} does not match this memory",
            f"{memory.misfit}.",
            "Use the embedding model and the options that it was made with, or another index_name.",
        )
    if memory.search == "exact" or not facts.search_commands:
        yield from _room_findings(memory)
    elif memory.documents:
        yield Finding(
            "index",
            "warning",
            f"no index has {amount(memory.documents, 'document')} of {memory.name!r}",
            "The index was dropped, or they were stored where there was no search module. The next "
            "call makes it; until it is filled, in the background, recall misses some.",
            "memory.index.create(), then memory.index.wait_until_ready().",
        )


def _room_findings(memory: MemoryIndex) -> Iterator[Finding]:
    """Exact search reads all documents, up to a limit."""
    held = f"{amount(memory.documents, 'memory', 'memories')} of {memory.exact_limit:,}"
    if memory.documents > memory.exact_limit:
        yield Finding(
            "search",
            "problem",
            f"{memory.name!r} is too large for exact search",
            f"It holds {held} (exact_limit), of all users, so recall fails.",
            "Use a server with valkey-search, raise exact_limit=, or forget what is old.",
        )
    elif memory.documents > _NEARLY_FULL * memory.exact_limit:
        yield Finding(
            "search",
            "warning",
            f"{memory.name!r} is nearly too large for exact search",
            f"It holds {held} (exact_limit), of all users; beyond that recall fails.",
            "Use a server with valkey-search, raise exact_limit=, or give memories a ttl=.",
        )


def check_waiting(facts: Facts) -> Iterator[Finding]:
    """What was said in conversations that are over is considered for facts."""
    found = facts.waiting
    if found is None:
        return
    looked = amount(found.looked_at, "conversation")
    if found.more:
        looked = f"the first {looked}"
    if found.session_ids:
        yield Finding(
            "facts",
            "warning",
            f"facts of {len(found.session_ids):,} of {looked} wait for extraction",
            "Nobody has written to them for more than a day, and what was said last was not "
            f"considered for long-term memory: {examples(found.session_ids)}.",
            "Run valkey-memory consolidate, or LongTermMemory.consolidate(model=...), from a cron "
            "job or a worker.",
        )
    else:
        yield Finding("facts", "ok", f"{looked}, facts of none wait for extraction")
