"""The tables of docs/concepts/round-trips.md, measured: round trips, and commands on the server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from langchain_core.outputs import Generation
from langgraph.cache.base import FullKey
from langgraph.store.base import GetOp, Op, PutOp

from langchain_valkey_glide import ValkeyCache, ValkeySemanticCache
from langgraph_valkey_glide import ValkeyCache as NodeCache
from langgraph_valkey_glide import ValkeySaver, ValkeyStore
from valkey_memory import (
    ConversationMemory,
    Document,
    EmbeddedValkey,
    LongTermMemory,
    MessageStore,
    RunLog,
    SessionStore,
    Summary,
    ToolCache,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._filters.expressions import FieldType
from valkey_memory._plans import AskCluster, AskFacts, Work, WriteToken

from . import search_server
from .conversations.test_round_trips import sent
from .langgraph.checkpoints import config, put
from .models.words import Words

PAGE = Path(__file__).parent.parent / "docs" / "concepts" / "round-trips.md"
SENT_FIRST = ("multi", "exec")
FIELDS: dict[str, FieldType] = {"user_id": "tag", "content": "text"}

Action = Callable[[Any], object]


def hello(n: int = 1) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"hello {i}"} for i in range(n)]


def documents(n: int = 10) -> list[Document]:
    return [Document(str(i), "text", {"user_id": "alice"}, [1, i, 0]) for i in range(n)]


PLAIN: dict[str, Action] = {
    "`append`": lambda s: s.append("a", hello()[0]),
    "`extend` by any number of messages": lambda s: s.extend("a", hello(1000)),
    "`messages`": lambda s: s.messages("a", last=20),
    "`messages(max_tokens=1000)`": lambda s: s.messages("c", max_tokens=1000),
    "`page`": lambda s: s.page("a", 0, 20),
    "`archived`": lambda s: s.archived("a"),
    "`archived(and_active=True)`": lambda s: s.archived("a", and_active=True),
    "`count`": lambda s: s.count("a"),
    "`count_all`": lambda s: s.count_all("a"),
    "`ttl_left`": lambda s: s.ttl_left("a"),
    "`sessions`, per 1,000 keys": lambda s: s.sessions(),
    "`take`": lambda s: s.take("a"),
    "`delete`": lambda s: s.delete("b"),
    "`delete_archived`": lambda s: s.delete_archived("b"),
}
EXPIRING: dict[str, Action] = {
    "`append`": lambda s: s.append("a", hello()[0]),
    "`extend` by up to 4,000 messages": lambda s: s.extend("a", hello(4000)),
    "`messages` or `page`, with `refresh_ttl_on_read`": lambda s: s.page("a", 0, 20),
    "`messages(max_tokens=1000)`, with `refresh_ttl_on_read`": lambda s: s.messages(
        "c", max_tokens=1000
    ),
    "`replace`": lambda s: s.replace("a", hello(10)),
    "`insert`": lambda s: s.insert("a", 1, hello()[0]),
    "`delete_at`": lambda s: s.delete_at("a", 1),
    "`delete_last`": lambda s: s.delete_last("a"),
    "`delete_oldest`": lambda s: s.delete_oldest("a", 2),
    "`archive_oldest`, of one message": lambda s: s.archive_oldest("a", 1),
    "`set_ttl`": lambda s: s.set_ttl("a", 60),
    "`refresh_ttl`": lambda s: s.refresh_ttl("a"),
}
WRITING: dict[str, Action] = {
    "the first operation of a process, before its own": lambda i: i.create(),
    "`upsert` of up to 200 documents, here 10": lambda i: i.upsert(documents()),
}
READING: dict[str, Action] = {
    "`search`": lambda i: i.search([1, 0, 0]),
    "`search_diverse`": lambda i: i.search_diverse([1, 0, 0]),
    "`search_hybrid` for a text of 1 word": lambda i: i.search_hybrid("text", [1, 0, 0]),
    "`count`": lambda i: i.count({"user_id": "alice"}),
    "`page`": lambda i: i.page({"user_id": "alice"}),
    "`get` of up to 500 documents, here 10": lambda i: i.get(map(str, range(10))),
    "`delete` of up to 200 documents, here 1": lambda i: i.delete(["0"]),
}
DELETING: dict[str, Action] = {
    "`delete_where`, here of 9": lambda i: i.delete_where({"user_id": "alice"}),
}
EXACT: dict[str, Action] = {
    **WRITING,
    "the first search, here of 10 documents": lambda i: i.search([1, 0, 0]),
    **READING,
    "`search` after 1 document changed": lambda i: i.search([1, 0, 0]),
    **DELETING,
}


RECORDED: dict[str, Action] = {
    "`append`": lambda s: s.append("a", hello()[0]),
    "`messages`, with `refresh_ttl_on_read`": lambda s: s.messages("a"),
    "`delete`": lambda s: s.delete("c"),
    "`SessionStore.get`": lambda s: of(s).get("a"),
    "`SessionStore.update`": lambda s: of(s).update("a", title="Hello"),
    "`SessionStore.update`, with `user_id`": lambda s: of(s).update("a", user_id="alice"),
    "`SessionStore.of_user`, here of 2": lambda s: of(s).of_user("alice"),
    "`SessionStore.delete`": lambda s: of(s).delete("b"),
}


SUMMARISED: dict[str, Action] = {
    "`append`": lambda s: s.append("new", hello()[0]),
    "`append` that leaves more than `when_over` messages": lambda s: s.append("a", hello()[0]),
    "`messages`, with `refresh_ttl_on_read`": lambda s: s.messages("a"),
    "`messages(max_tokens=1000)`, with `refresh_ttl_on_read`": lambda s: s.messages(
        "a", max_tokens=1000
    ),
    "`summary`": lambda s: s.summary("a"),
}


TURNS: dict[str, Action] = {
    "`context` after a turn": lambda m: m.context("Which tea?"),
    "`context`, where nothing new is remembered": lambda m: m.context("Which tea?"),
    "`save_turn`, remembered": lambda m: m.save_turn("Which tea?", "Green tea."),
}
TURNS_ALONE: dict[str, Action] = {
    "`context`, without `long_term`": lambda m: m.context("Which tea?"),
    "`save_turn`, without `long_term`": lambda m: m.save_turn("Which tea?", "Green tea."),
}


CHECKPOINTS: dict[str, Action] = {
    "`get_tuple`": lambda s: s.get_tuple(config("a")),
    "`put`, with 1 new value": lambda s: put(
        s, config("a"), {"a": 1, "b": 3}, versions={"b": "3"}, new={"b": "3"}
    ),
    "`put` on a thread that expired meanwhile": lambda s: put(
        s, config("gone"), {"a": 1, "b": 3}, new={"b": "1"}
    ),
    "`put_writes` of a task": lambda s: s.put_writes(config("a", "", "c"), [("b", 1)], "task"),
    "`list` of a thread, here of 3": lambda s: list(s.list(config("b"))),
    "`list(None)`, here of 2 threads": lambda s: list(s.list(None, limit=1)),
    "`get_delta_channel_history`, here over 2 steps": lambda s: s.get_delta_channel_history(
        config=config("b"), channels=["messages"]
    ),
    "`copy_thread` of up to 16 MB": lambda s: s.copy_thread("b", "c"),
    "`delete_for_runs`, here in 4 threads": lambda s: s.delete_for_runs(["run"]),
    "`prune` of up to 500 threads, here 1": lambda s: s.prune(["b"]),
    "`delete_thread`": lambda s: s.delete_thread("b"),
}


ALICE = ("users", "alice")
BATCH: list[Op] = [
    *(GetOp(ALICE, f"{n}") for n in range(10)),
    *(PutOp(ALICE, f"new{n}", {"n": n}) for n in range(10)),
]
STORE: dict[str, Action] = {
    "`put`": lambda s: s.put(ALICE, "1", {"n": 1}),
    "`put` with a TTL": lambda s: s.put(ALICE, "brief", {"brief": 1}, ttl=5),
    "`get`": lambda s: s.get(ALICE, "1"),
    "`get`, with `refresh_ttl=False`": lambda s: s.get(ALICE, "1", refresh_ttl=False),
    "`batch`, here of 10 gets and 10 puts": lambda s: s.batch(BATCH),
    "`search`, here of 3 items": lambda s: s.search(ALICE, limit=3),
    "`search` that reads an item with a TTL": lambda s: s.search(ALICE, filter={"brief": 1}),
    "`search` with a filter, per 200 items": lambda s: s.search(ALICE, filter={"n": 1}, limit=1),
    "`list_namespaces`, here of 2": lambda s: s.list_namespaces(),
    "`delete`": lambda s: s.delete(ALICE, "1"),
    "`delete_namespace`, here of 1 item": lambda s: s.delete_namespace(("users", "bob")),
}
STORE_BY_MEANING: dict[str, Action] = {
    "`search` with a query": lambda s: s.search(ALICE, query="tea", limit=1),
    "`put` of a new item, with `index`": lambda s: s.put(ALICE, "new", {"text": "green tea"}),
    "`put` of one that was there, with `index`": lambda s: s.put(ALICE, "1", {"text": "tea"}),
    "`delete`, with `index`": lambda s: s.delete(ALICE, "1"),
}
EXACT_CACHE: dict[str, Action] = {
    "`lookup` of `ValkeyCache`": lambda c: c.lookup("q", "m"),
    "`update` of `ValkeyCache`": lambda c: c.update("q", "m", ANSWER),
    "`clear` of `ValkeyCache`, per 1,000 keys": lambda c: c.clear(),
}
NODE_CACHE: dict[str, Action] = {
    "`set` of the node cache, here of 10 values": lambda c: c.set(NODES),
    "`get` of the node cache, here of 10 values": lambda c: c.get(list(NODES)),
}
SEMANTIC_CACHE: dict[str, Action] = {
    "`lookup` of `ValkeySemanticCache`, same prompt": lambda c: c.lookup("a tea", "m"),
    "`lookup`, similar question": lambda c: c.lookup("the tea", "m"),
    "`lookup`, miss": lambda c: c.lookup("some bread", "m"),
    "`update` after it": lambda c: c.update("some bread", "m", ANSWER),
}
TOOL_CACHE: dict[str, Action] = {
    "a call of a tool, miss": lambda c: c.get_or_call("t", {"n": 1}, lambda: 1),
    "a call of a tool, hit": lambda c: c.get_or_call("t", {"n": 1}, lambda: 1),
    "`delete` of a tool's result": lambda c: c.delete("t", {"n": 1}),
    "`clear` of tools' results, per 1,000 keys, here none": lambda c: c.clear(),
}
ANSWER: list[Generation] = [Generation(text="Green.")]
NODES: dict[FullKey, tuple[int, int | None]] = {((str(n),), "k"): (n, 60) for n in range(10)}

RUNS: dict[str, Action] = {
    "`append`": lambda log: log.append("r", "a", user_id="alice"),
    "`read` of up to 1,000 events": lambda log: log.read("r"),
    "a look of `follow`": lambda log: next(log.follow("r")),
    "`runs`, here 1": lambda log: log.runs(),
    "`clear` of a user's runs, per 1,000 keys, here 1 run": lambda log: log.clear(user_id="alice"),
    "`delete`": lambda log: log.delete("r"),
}


def of(store: MessageStore) -> SessionStore:
    """The sessions of a store."""
    return SessionStore(connection=store.connection, key_prefix=store.key("x")[:-1])


@contextmanager
def counted(connection: ValkeyConnection) -> Iterator[list[object]]:
    """The round trips that ``connection`` makes."""
    steps: list[object] = []
    execute = connection._execute

    def count(step: Any) -> Any:
        if not isinstance(step, (AskCluster, AskFacts, Work, WriteToken)):  # these ask nobody
            steps.append(step)
        return execute(step)

    connection._execute = count  # type: ignore[method-assign]
    try:
        yield steps
    finally:
        connection._execute = execute  # type: ignore[method-assign]


def measured(
    server: EmbeddedValkey, connection: ValkeyConnection, target: object, actions: dict[str, Action]
) -> list[str]:
    """The rows of a table, in the words of the page."""
    rows = []
    for name, action in actions.items():
        with counted(connection) as steps:
            commands = sent(server, lambda action=action: action(target))  # type: ignore[misc]
        ordered = [c for c in SENT_FIRST if c in commands]
        ordered += sorted(commands.keys() - set(SENT_FIRST))
        shown = [
            c.upper().replace("|", " ") + (f" x {commands[c]}" if commands[c] > 1 else "")
            for c in ordered
        ]
        rows.append(f"| {name} | {len(steps)} | {', '.join(shown) or '-'} |")
    return rows


def table(heading: str) -> list[str]:
    """The rows of the table under ``heading``."""
    _, _, section = PAGE.read_text().partition(f"## {heading}\n")
    assert section, heading
    rows = re.findall(r"^\|.*\|$", section.partition("\n## ")[0], re.MULTILINE)
    return rows[2:]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    """Of its own: with other tests' keys a SCAN takes more round trips."""
    with EmbeddedValkey() as server:
        yield server


@pytest.fixture
def connection(server: EmbeddedValkey) -> Iterator[ValkeyConnection]:
    with ValkeyConnection.from_url(server.url) as connection:
        yield connection


@pytest.mark.parametrize(
    ("heading", "actions", "options"),
    [
        ("Conversations without TTL and window", PLAIN, {}),
        (
            "Conversations with TTL and window",
            EXPIRING,
            {"ttl": 60, "max_messages": 50, "refresh_ttl_on_read": True},
        ),
        (
            "Conversations with a record",
            RECORDED,
            {"ttl": 60, "max_messages": 50, "refresh_ttl_on_read": True, "user_id": "alice"},
        ),
        (
            "Conversations with a summary",
            SUMMARISED,
            {
                "ttl": 60,
                "max_messages": 50,
                "refresh_ttl_on_read": True,
                "summary": Summary(lambda prompt: "It is long.", keep_last=6, when_over=20),
            },
        ),
    ],
)
def test_conversations(
    server: EmbeddedValkey,
    connection: ValkeyConnection,
    prefix: str,
    heading: str,
    actions: dict[str, Action],
    options: dict[str, Any],
) -> None:
    store = MessageStore(connection=connection, key_prefix=prefix, **options)
    store.extend("a", hello(20))
    store.extend("b", hello(20))
    store.extend("c", [*hello(), {"role": "assistant", "content": "hello"}] * 10)
    assert measured(server, connection, store, actions) == table(heading)


def test_turns(server: EmbeddedValkey, connection: ValkeyConnection, prefix: str) -> None:
    def memory(long_term: LongTermMemory | None) -> ConversationMemory:
        return ConversationMemory(
            user_id="alice",
            session_id="s",
            long_term=long_term,
            summary=Summary(lambda prompt: "It is long.", keep_last=6, when_over=20),
            connection=connection,
            key_prefix=prefix,
        )

    long_term = LongTermMemory(Words(), connection=connection, search="exact")
    whole = memory(long_term)
    for _ in range(2):  # the first reads all memories
        whole.save_turn("I like green tea.", "I see.")
        whole.context("Which tea?")
    whole.save_turn("I like black tea.", "I see.")
    rows = measured(server, connection, whole, TURNS)
    rows += measured(server, connection, memory(None), TURNS_ALONE)
    assert rows == table("A turn of ConversationMemory")


def test_checkpoints() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        saver = ValkeySaver(connection=connection, ttl=60)
        for thread in ("a", "b"):
            where = config(thread)
            for step in range(3):
                values = {"a": 1, "b": step}
                where = put(saver, where, values, versions={"b": str(step)})
                saver.put_writes(where, [("b", step)], "task")
        assert measured(server, connection, saver, CHECKPOINTS) == table("Checkpoints")


def test_store() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        plain = ValkeyStore(connection=connection)
        notes = ValkeyStore(
            name="notes",
            connection=connection,
            index={"embed": Words(), "dims": 64, "fields": ["text"]},
            search="exact",
        )
        for number in range(3):
            plain.put(ALICE, f"{number}", {"n": number})
            notes.put(ALICE, f"{number}", {"text": f"{number} teas"})
        plain.put(("users", "bob"), "1", {"n": 1})
        notes.search(ALICE, query="tea")  # reads all vectors
        rows = measured(server, connection, plain, STORE)
        rows += measured(server, connection, notes, STORE_BY_MEANING)
        assert rows == table("Store")


def test_caches() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        connection.run(_ask())
        rows = measured(server, connection, ValkeyCache(connection=connection, ttl=60), EXACT_CACHE)
        nodes: NodeCache[int] = NodeCache(connection=connection)
        rows += measured(server, connection, nodes, NODE_CACHE)
        nodes.clear()
        tools = ToolCache(connection=connection)
        tool_rows = measured(server, connection, tools, TOOL_CACHE)
        semantic = ValkeySemanticCache(
            Words(), threshold=0.5, connection=connection, search="exact", ttl=60
        )
        semantic.lookup("a tea", "m")
        semantic.update("a tea", "m", ANSWER)
        semantic.lookup("the tea", "m")  # the first one reads all
        rows += measured(server, connection, semantic, SEMANTIC_CACHE)
        assert rows + tool_rows == table("Caches")


def test_runs() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        log = RunLog(connection=connection)
        connection.run(_ask())
        assert measured(server, connection, log, RUNS) == table("Runs")


def test_exact_search() -> None:
    with EmbeddedValkey() as server, ValkeyConnection.from_url(server.url) as connection:
        connection.run(_ask())
        index = VectorIndex("notes", 3, fields=FIELDS, connection=connection, search="exact")
        assert measured(server, connection, index, EXACT) == table("Documents, exact search")


@pytest.mark.real_search(modules=True)
def test_server_search() -> None:
    with (
        EmbeddedValkey(modules=search_server.find().modules) as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        connection.run(_ask())
        index = VectorIndex("notes", 3, fields=FIELDS, connection=connection, search="server")
        rows = measured(server, connection, index, WRITING)
        index.wait_until_ready(10)
        rows += measured(server, connection, index, {**READING, **DELETING})
        assert rows == table("Documents, server search")


def _ask() -> Any:
    """Connect, so that what that sends is not counted."""
    return (yield AskCluster("connect"))
