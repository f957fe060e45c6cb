"""Passwords: in no error, in no variable that a tool may print, in no repr."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import string
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from pydantic import ValidationError
from rich.console import Console
from rich.traceback import Traceback

from langchain_valkey_glide import ValkeyChatMessageHistory
from langchain_valkey_glide import ValkeyVectorStore as LangChainVectorStore
from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore
from llama_index_valkey_glide import ValkeyVectorStore as LlamaIndexVectorStore
from valkey_memory import (
    AuthenticationError,
    CommandError,
    ConfigurationError,
    ConnectionFailedError,
    EmbeddedServerError,
    EmbeddedValkey,
    MessageStore,
    ValkeyConnection,
    ValkeyMemoryError,
    VectorIndex,
)
from valkey_memory._secrets import Secret, SecretUrl, mask
from valkey_memory._server.settings import Settings, parse

from ..servers import admin

PASSWORD = "s3cret-pässwörd"
QUOTED = quote(PASSWORD)
TESTS = Path(__file__).parent.parent


def shown(error: BaseException) -> str:
    """All that a tool may print of ``error``: texts, and variables of every frame but the tests'.

    The lines of code, too, except where they are the tests' own.
    """
    found: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        found += [str(one), repr(one), *map(repr, one.args)]
        captured = traceback.TracebackException(
            type(one), one, one.__traceback__, capture_locals=True
        )
        for frame in captured.stack:
            if not Path(frame.filename).is_relative_to(TESTS):
                found += [frame.name, *(frame.locals or {}).values()]
        one = one.__cause__ or one.__context__
    return "\n".join(found)


def hidden_in(error: BaseException, secret: str = PASSWORD) -> bool:
    text = shown(error)
    return secret not in text and quote(secret) not in text and quote(secret, safe="") not in text


BAD_URLS = [
    f"alice:{QUOTED}@h",
    f"http://alice:{QUOTED}@h",
    f"valkey://alice:{QUOTED}@h:port",
    f"valkey://alice:{QUOTED}@",
    f"valkey://alice:{QUOTED}@h/one",
    f"valkey://alice:{QUOTED}@h?cluster=perhaps",
    f"valkey://alice:{QUOTED}@h/{10**20}",
    f"valkey://alice:{QUOTED}@h:0",
    f"valkey://alice:{QUOTED}@h:99999",
    f"valkey://alice:{QUOTED}%00@h",
    f"valkey://alice:{QUOTED}%FF@h",
    f"valkey://alice:{QUOTED}\n@h",
    f"valkey://alice:{QUOTED}\ud800@h",
    f"valkey://alice:[{QUOTED}@h",
    f"valkey://alice:/{QUOTED}@h",
    f"valkey://alice:?{QUOTED}@h",
    f"valkey://alice:#{QUOTED}@h",
    f"valkey://alice:@{QUOTED}@h?x=1",
    f"valkey://alice:{QUOTED}",
    f"valkey://{QUOTED}@h:port",
    f"valkey://h?auth={QUOTED}",
    f"valkey://h?AUTH={QUOTED}",
    f"valkey://h?passwd={QUOTED}&cluster=true",
    f"valkey://h?{QUOTED}",
    f"valkey://h?auth=x@{QUOTED}",
    f"valkey://h?auth=x%26{QUOTED}",
    f"embedded://alice:{QUOTED}@h/dir",
    f"embedded:///dir?password={QUOTED}",
]

NOTES = [Document(page_content="a")]
MODEL = DeterministicFakeEmbedding(size=3)
Vectors, Nodes = LangChainVectorStore, LlamaIndexVectorStore

MAKERS: dict[str, Callable[[str], object]] = {
    "parse": parse,
    "from_url": ValkeyConnection.from_url,
    "shared": ValkeyConnection.shared,
    "MessageStore": lambda url: MessageStore(url=url),
    "VectorIndex": lambda url: VectorIndex("notes", 3, url=url),
    "history": lambda url: ValkeyChatMessageHistory("s", url=url),
    "chat store": lambda url: ValkeyChatStore(url=url),
    "from_dict": lambda url: ValkeyChatStore.from_dict({"url": url}),
    "from_json": lambda url: ValkeyChatStore.from_json(json.dumps({"url": url})),
    "database chat store": lambda url: ValkeyDBChatStore(url=url),
    "LlamaIndex vectors": lambda url: Nodes(url=url),
    "LlamaIndex vectors from_dict": lambda url: Nodes.from_dict({"url": url}),
    "LlamaIndex vectors from_json": lambda url: Nodes.from_json(json.dumps({"url": url})),
    "LangChain vectors": lambda url: Vectors(MODEL, url=url),
    "from_texts": lambda url: Vectors.from_texts(["a"], MODEL, url=url),
    "afrom_texts": lambda url: asyncio.run(Vectors.afrom_texts(["a"], MODEL, url=url)),
    "from_documents": lambda url: Vectors.from_documents(NOTES, MODEL, url=url),
    "afrom_documents": lambda url: asyncio.run(Vectors.afrom_documents(NOTES, MODEL, url=url)),
}


@pytest.fixture
def own_server() -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey() as server:
        yield server


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("maker", MAKERS)
def test_a_url_that_cannot_be_read(maker: str, url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MAKERS[maker](url)
    assert hidden_in(caught.value)


@pytest.mark.parametrize("url", BAD_URLS)
def test_rich_tracebacks(url: str) -> None:
    """It cuts what is long before it asks for its repr."""
    url = url.replace(QUOTED, QUOTED * 8)
    with pytest.raises(ConfigurationError) as caught:
        MessageStore(url=url)
    error = caught.value
    assert error.__traceback__ is not None
    error.__traceback__ = error.__traceback__.tb_next  # this test's own variables
    console = Console(width=400, record=True, file=Path("/dev/null").open("w"))  # noqa: SIM115
    console.print(
        Traceback.from_exception(type(error), error, error.__traceback__, show_locals=True)
    )
    console.file.close()
    text = console.export_text()
    assert "url = " in text
    assert QUOTED not in text


GOOD_URL = f"valkey://alice:{QUOTED}@127.0.0.1:1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: MessageStore(url=GOOD_URL, ttl=-1),
        lambda: MessageStore(url=GOOD_URL, connection=ValkeyConnection.from_url("valkey://h")),
        lambda: VectorIndex("notes", -3, url=GOOD_URL),
        lambda: ValkeyChatMessageHistory("", url=GOOD_URL),
        lambda: ValkeyChatMessageHistory("s", url=GOOD_URL, ttl=-1),
        lambda: LangChainVectorStore("no model", url=GOOD_URL),  # type: ignore[arg-type]
        lambda: ValkeyChatStore(url=GOOD_URL, ttl=-1),
        lambda: ValkeyChatStore.from_dict({"url": GOOD_URL, "ttl": -1}),
        lambda: LlamaIndexVectorStore(url=GOOD_URL, stores_text=False),
        lambda: ValkeyConnection.from_url("valkey://h", password=PASSWORD, read_from="nearest"),
        lambda: ValkeyConnection.from_url("valkey:h", password=PASSWORD),
        lambda: ValkeyConnection.from_url("valkey://h", password=f"{PASSWORD}\0"),
        lambda: ValkeyConnection.from_url("valkey://h", password=PASSWORD.encode()),  # type: ignore[arg-type]
        lambda: ValkeyConnection.from_url(GOOD_URL, tls=object()),  # type: ignore[arg-type]
        lambda: pickle.dumps(ValkeyConnection.from_url("valkey://h", password=PASSWORD)),
        lambda: pickle.dumps(ValkeyConnection.from_url(GOOD_URL, request_timeout=2)),
    ],
)
def test_other_arguments_that_cannot_work(make: Callable[[], object]) -> None:
    with pytest.raises(ValkeyMemoryError) as caught:
        make()
    assert hidden_in(caught.value)
    assert repr(PASSWORD.encode()) not in shown(caught.value)


@pytest.mark.parametrize("url", BAD_URLS)
@pytest.mark.parametrize("kind", [ValkeyChatStore, ValkeyDBChatStore])
def test_errors_of_pydantic(kind: type[ValkeyChatStore], url: str) -> None:
    """They show what they were given, unless told not to."""
    makers: list[Callable[[], object]] = [lambda: kind.model_validate({"url": url})]
    if url.isascii():
        makers.append(lambda: kind.model_validate_json(json.dumps({"url": url})))
        makers.append(lambda: kind.model_validate_json(json.dumps({"url": url}).encode()))
    for make in makers:
        with pytest.raises(ValidationError) as caught:
            make()
        assert hidden_in(caught.value)
        assert QUOTED not in repr(caught.value.errors())
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"url": GOOD_URL, "ttl": "soon"})
    assert hidden_in(caught.value)
    store = kind.model_validate({"url": GOOD_URL})
    assert store.url == GOOD_URL
    assert kind.model_validate_json(store.model_dump_json()) == store
    assert QUOTED not in repr(store)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ValkeyChatStore(url=GOOD_URL, typo=1),
        lambda: Nodes(url=GOOD_URL, typo=1),  # type: ignore[call-arg]
        lambda: Vectors(MODEL, url=GOOD_URL, typo=1),  # type: ignore[call-arg]
        lambda: ValkeyChatMessageHistory("s", url=GOOD_URL, typo=1),  # type: ignore[call-arg]
        lambda: Vectors.from_texts(["a"], MODEL, url=GOOD_URL, typo=1),
    ],
)
def test_misspelt_options(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError) as caught:
        make()
    assert hidden_in(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: EmbeddedValkey(config={"requirepass": PASSWORD}),
        lambda: EmbeddedValkey(config={"masterauth": f"{PASSWORD}\nport 1"}),
        lambda: EmbeddedValkey("\0", config={"masterauth": PASSWORD}),
        lambda: EmbeddedValkey(config={"masterauth": f"{PASSWORD} {PASSWORD}"}).start(),
        lambda: EmbeddedValkey(config={"user": f"alice on >{PASSWORD} +@nobody"}).start(),
        lambda: EmbeddedValkey(config={"no-such-directive": PASSWORD}).start(),
        lambda: EmbeddedValkey("/proc/data", config={"masterauth": PASSWORD}).start(),
    ],
)
def test_directives_of_an_embedded_server(make: Callable[[], object]) -> None:
    with pytest.raises((ConfigurationError, EmbeddedServerError)) as caught:
        make()
    assert hidden_in(caught.value)


@pytest.mark.parametrize("is_async", [False, True])
def test_logs_and_standard_error(
    is_async: bool, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    count = async_count if is_async else sync_count
    for options in ("", "?cluster=true"):
        url = GOOD_URL + options
        with ValkeyConnection.from_url(url, connection_timeout=0.5) as connection:
            store = MessageStore(connection=connection)
            with pytest.raises(ValkeyMemoryError):
                count(store)
            print(connection, store, repr(vars(connection)), repr(vars(connection._factory)))
    text = caplog.text + "".join(capfd.readouterr())
    assert "127.0.0.1:1" in text
    assert PASSWORD not in text
    assert QUOTED not in text


def sync_count(store: MessageStore) -> int:
    return store.count("s")


def async_count(store: MessageStore) -> int:
    return asyncio.run(store.acount("s"))


both = pytest.mark.parametrize("count", [sync_count, async_count])


@both
@pytest.mark.parametrize("cluster", ["", "?cluster=true", "?cluster=false"])
def test_a_server_that_cannot_be_reached(
    count: Callable[[MessageStore], int], cluster: str
) -> None:
    connection = ValkeyConnection.from_url(GOOD_URL + cluster, connection_timeout=0.5)
    with connection, pytest.raises((ConnectionFailedError, CommandError)) as caught:
        count(MessageStore(connection=connection))
    assert hidden_in(caught.value)


@both
def test_a_password_that_is_refused(
    count: Callable[[MessageStore], int], own_server: EmbeddedValkey
) -> None:
    admin(own_server.port, "ACL", "SETUSER", "alice", "on", ">other", "~*", "+@all")
    url = GOOD_URL.replace("127.0.0.1:1", f"127.0.0.1:{own_server.port}")
    connection = ValkeyConnection.from_url(url)
    with connection, pytest.raises(AuthenticationError) as caught:
        count(MessageStore(connection=connection))
    assert hidden_in(caught.value)


@both
def test_a_password_that_works(
    count: Callable[[MessageStore], int], own_server: EmbeddedValkey
) -> None:
    """The URL that hides itself is still the URL, in copies and pickles too."""
    admin(own_server.port, "ACL", "SETUSER", "alice", "on", f">{PASSWORD}", "~*", "+@all")
    url = GOOD_URL.replace("127.0.0.1:1", f"127.0.0.1:{own_server.port}")
    connection = ValkeyConnection.shared(url)
    assert count(MessageStore(connection=connection)) == 0
    assert type(connection.url) is str
    assert connection.url == url
    assert PASSWORD.encode() not in pickle.dumps(Settings(password=PASSWORD).host)
    assert copy.deepcopy(connection) is connection
    connection.close()


def test_secrets() -> None:
    secret, url = Secret(PASSWORD), SecretUrl(GOOD_URL)
    for one in (secret, secret[:9], url, url[:30], copy.copy(url), copy.deepcopy(secret)):
        assert QUOTED[:9] not in repr(one)
        assert PASSWORD[:9] not in repr([one])
    assert (secret, str(secret)) == (PASSWORD, PASSWORD)
    assert type(str(secret)) is str
    assert b"valkey_memory" not in pickle.dumps(url)
    assert hash(url) == hash(GOOD_URL)
    assert repr(url) == "'valkey://alice:***@127.0.0.1:1'"
    assert repr(Settings(password=PASSWORD)) == "Settings(password='***')"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("localhost:6379", "localhost:6379"),
        ("valkey://h:1/2?cluster=true&client_az=a", "valkey://h:1/2?cluster=true&client_az=a"),
        ("valkey://alice:pw@h:1/2", "valkey://alice:***@h:1/2"),
        ("valkey://:pw@[::1]:1", "valkey://:***@[::1]:1"),
        ("alice:pw@h", "alice:***@h"),
        ("valkey://pw@h", "valkey://***@h"),
        ("valkey://alice:pw", "valkey://alice:***"),
        ("valkey://alice:p/w", "valkey://alice:***"),
        ("valkey://h?timeout=5", "valkey://h?timeout=***"),
        ("valkey://h?pw", "valkey://h?***"),
        ("valkey://h?auth=p&w=x&cluster=true", "valkey://h?auth=***&***&cluster=true"),
        ("valkey://h?=pw&&x", "valkey://h?***&&***"),
        ("valkey://h/pw", "valkey://h/***"),
        ("valkey://h?auth=p@w", "valkey://***"),
        ("embedded:///a@b:c/d", "embedded:///a@b:c/d"),
        ("embedded:///a?auth=pw", "embedded:///a?auth=***"),
    ],
)
def test_what_a_message_shows_of_a_url(url: str, expected: str) -> None:
    assert mask(url) == expected


# Where a password stands in what people write, well or badly formed. No part of it may show.
SHAPES = [
    "{scheme}{user}:{password}@{rest}",
    "{scheme}:{password}@{rest}",
    "{scheme}{user}:{password}",
    "{user}:{password}@{rest}",
    "{scheme}{rest}?auth={password}",
    "{scheme}{rest}?password={password}&cluster=true",
    "{scheme}{rest}?cluster=true&pw={password}",
]


@given(
    shape=st.sampled_from(SHAPES),
    scheme=st.sampled_from(["valkey://", "rediss://", "http://", "embedded://", "://", "valkey:/"]),
    user=st.text(string.ascii_lowercase, max_size=5),
    before=st.text(string.punctuation + "\0\n é\ud800", max_size=4),
    after=st.text(string.punctuation + "\0\n é\ud800", max_size=4),
    rest=st.sampled_from(["h", "h:1", "h:x", "h/0", "h/x", "[::1]", "[", "", "h:1/2?cluster=1"]),
)
@example(SHAPES[0], "valkey://", "", "?", "@", "h")
def test_no_part_of_a_password_shows(
    shape: str, scheme: str, user: str, before: str, after: str, rest: str
) -> None:
    password = f"{before}WORD1{after}WORD2"
    if "&" in password and "?" in shape:
        password = password.replace("&", "%26")  # the next option is none of the password's
    url = shape.format(scheme=scheme, user=user, password=password, rest=rest)
    forgotten_host = shape.endswith("{password}") and "?" not in shape
    if url.startswith("embedded:///") or (forgotten_host and "@" in password):
        return  # it has no credentials, or what follows the @ is the host
    assert "WORD" not in mask(url)
    try:
        text = repr(parse(url))
    except ConfigurationError as error:
        text = shown(error)
    assert "WORD" not in text


@given(st.one_of(st.text(), st.builds("valkey://{}".format, st.text())))
@example("valkey://h/" + "9" * 5000)
@example("valkey://h:" + "9" * 5000)
@example(f"valkey://h/{10**20}")
@example("valkey://h?request_timeout=1e999")
@example("valkey://h?request_timeout=nan")
@example("embedded:///a%00b")
@example("embedded:///" + "a/" * 5000)
@example("valkey://[::1%25eth0]:1")
@example("valkey://\u2100.com")
def test_any_text_is_a_url_or_a_configuration_error(url: str) -> None:
    try:
        settings = parse(url)
    except ConfigurationError:
        return
    assert 0 < settings.port < 65536
    assert 0 <= settings.database < 2**31


@pytest.mark.parametrize("url", [b"valkey://h", 7, 0, b"", Path("h"), ["valkey://h"], object()])
def test_what_is_no_string(url: Any) -> None:
    for name, make in MAKERS.items():
        if "json" in name:
            continue  # there may be nothing of the kind
        with pytest.raises(ConfigurationError, match="url must be a string"):
            make(url)
