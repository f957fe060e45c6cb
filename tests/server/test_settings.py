from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path
from typing import Any

import glide_sync
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valkey_memory import ConfigurationError, EmbeddedValkey, MessageStore, ValkeyConnection
from valkey_memory._secrets import mask
from valkey_memory._server.settings import READ_FROM, Settings, parse, resolve_url

from .test_failures import faces


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("valkey://localhost", Settings()),
        ("redis://h:1", Settings(host="h", port=1)),
        ("valkeys://h", Settings(host="h", tls=True)),
        ("rediss://h:7/2", Settings(host="h", port=7, tls=True, database=2)),
        ("valkey://:p%40ss%2Fw%3A@h", Settings(host="h", password="p@ss/w:")),
        ("valkey://al%20ice:pw@h", Settings(host="h", username="al ice", password="pw")),
        ("valkey://[::1]:7", Settings(host="::1", port=7)),
        ("valkey://h/0", Settings(host="h")),
        ("valkey://h?cluster=true", Settings(host="h", cluster=True)),
        ("valkey://h?cluster=0", Settings(host="h", cluster=False)),
        (
            "valkey://h?request_timeout=1.5&connection_timeout=3",
            Settings(host="h", request_timeout=1.5, connection_timeout=3.0),
        ),
        (
            "valkey://h?read_from=az_affinity&client_az=a&client_name=me",
            Settings(host="h", read_from="az_affinity", client_az="a", client_name="me"),
        ),
        ("embedded://", Settings(embedded=True)),
        ("embedded:///var/a%20b", Settings(embedded=True, directory=Path("/var/a b"))),
    ],
)
def test_urls(url: str, expected: Settings) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("localhost:6379", "scheme"),
        ("http://h", "scheme"),
        ("", "scheme"),
        ("valkey://", "host"),
        ("valkey://h:port", "port"),
        ("valkey://h:99999", "port"),
        ("valkey://h/one", "database"),
        ("valkey://h/-1", "database"),
        ("valkey://h?cluster=perhaps", "cluster"),
        ("valkey://h?clutser=true", "clutser"),
        ("valkey://h?request_timeout=0", "request_timeout"),
        ("valkey://h?request_timeout=soon", "request_timeout"),
        ("valkey://h?read_from=nobody", "read_from"),
        ("valkey://u:pa#ss@h", "%23"),
        ("embedded://relative/dir", "absolute"),
    ],
)
def test_bad_urls_name_the_part(url: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "valkey://alice:s3cret@h",
        "valkey://:s3cret@h/9?x=1",
        "valkey://alice:s3cret@h:port",
        "valkey://alice:s3cret@",
        "http://alice:s3cret@h",
        "valkey://alice:s3cret/x@h",
        "valkey://alice:s3cret@@h:x",
        "valkey://alice:s3cret#x@h",
        "valkey://h?password=s3cret",
    ],
)
def test_passwords_never_show(url: str) -> None:
    import traceback

    assert "s3cret" not in mask(url)
    try:
        shown = repr(parse(url)) + repr(ValkeyConnection.from_url(url))
    except ConfigurationError as error:
        shown = "".join(traceback.format_exception(error))
    assert "s3cret" not in shown.replace(f'"{url}"', "")


def test_the_url_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VALKEY_URL", raising=False)
    assert resolve_url(None) == "valkey://localhost:6379"
    monkeypatch.setenv("VALKEY_URL", "valkey://elsewhere:1")
    assert ValkeyConnection.from_url().address == "elsewhere:1"
    assert ValkeyConnection.from_url("valkey://given").address == "given:6379"


HUGE = 10**5000
"""Python refuses to write it."""

SECONDS = "seconds, more than 0 and less than a day"


@pytest.mark.parametrize(
    ("url", "names", "way_out"),
    [
        (f"valkey://h/{10**20}", str(10**20), "valkey://host:port/0"),
        (f"valkey://h/{2**31}", str(2**31), "valkey://host:port/0"),
        ("valkey://h/" + "9" * 5000, "9" * 5000, "valkey://host:port/0"),
        ("valkey://h/-1", "valkey://h/", "valkey://host:port/0"),
        ("valkey://h/one", "valkey://h/", "valkey://host:port/0"),
        ("valkey://h/1/2", "valkey://h/", "valkey://host:port/0"),
        ("valkey://h/\u0661", "valkey://h/", "valkey://host:port/0"),
        ("valkey://h:0", "h:0", "port 0, where no server listens"),
        ("valkey://h:65536", "h:65536", "check host and port"),
        ("valkey://h:99999", "h:99999", "check host and port"),
        ("valkey://h:-1", "h:", "check host and port"),
        ("valkey://h:" + "9" * 5000, "h:", "check host and port"),
        ("valkey://h?request_timeout=nan", "request_timeout=nan", SECONDS),
        ("valkey://h?request_timeout=inf", "request_timeout=inf", SECONDS),
        ("valkey://h?request_timeout=1e30", "request_timeout=1e30", SECONDS),
        (f"valkey://h?request_timeout={10**30}", str(10**30), SECONDS),
        ("valkey://h?connection_timeout=-1", "connection_timeout=-1", SECONDS),
        ("valkey://h?connection_timeout=", "connection_timeout=", SECONDS),
        ("valkey://h?cluster=perhaps", "cluster=perhaps", "give true or false"),
        ("valkey://h?retry_writes=perhaps", "retry_writes=perhaps", "give true or false"),
        ("valkey://h?read_from=nobody", "read_from=nobody", "primary, prefer_replica"),
        ("valkey://h?client_name=a%20b", "client_name=", "without spaces"),
    ],
    ids=lambda text: text[:40],
)
def test_a_value_that_cannot_be(url: str, names: str, way_out: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ValkeyConnection.from_url(url)
    assert names in str(caught.value)
    assert way_out in str(caught.value)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"request_timeout": math.nan}, f"request_timeout=nan: give {SECONDS}"),
        ({"request_timeout": math.inf}, f"request_timeout=inf: give {SECONDS}"),
        ({"request_timeout": 10**30}, f"request_timeout={10**30}: give {SECONDS}"),
        ({"request_timeout": HUGE}, f"request_timeout=a very long int: give {SECONDS}"),
        ({"request_timeout": 0}, "request_timeout=0"),
        ({"request_timeout": True}, "request_timeout=True"),
        ({"request_timeout": "soon"}, "request_timeout='soon'"),
        ({"request_timeout": object()}, "request_timeout=<object"),
        ({"connection_timeout": -1}, "connection_timeout=-1"),
        ({"connection_timeout": "x" * 9999}, r"connection_timeout='x{199}\.\.\."),
        ({"read_from": "nearest"}, "read_from='nearest': give one of primary"),
        ({"read_from": HUGE}, "read_from=a very long int"),
        ({"cluster": "yes"}, "cluster='yes': give True or False"),
        ({"retry_writes": 1}, "retry_writes=1: give True or False"),
        ({"username": 7}, "username=7: give a string"),
        ({"username": "a\ud800"}, "username='a.ud800'"),
        ({"password": 7}, "password: give a string"),
        ({"client_name": "a b"}, "client_name='a b'"),
        ({"client_az": "\0"}, "client_az="),
        ({"tls": object()}, r"tls must be a glide\.TlsAdvancedConfiguration, not builtins\.object"),
        ({"iam": "token"}, r"iam must be a glide\.IamAuthConfig, not builtins\.str"),
        ({"reconnect_strategy": 3}, r"reconnect_strategy must be a glide\.BackoffStrategy"),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, str) else next(iter(value)),
)
def test_an_argument_that_cannot_be(options: dict[str, Any], names: str) -> None:
    with pytest.raises(ConfigurationError, match=names):
        ValkeyConnection.from_url("valkey://h", **options)


def test_objects_of_glide_that_are_none() -> None:
    with pytest.raises(ConfigurationError, match=r"config must be a glide\.GlideClient"):
        ValkeyConnection.from_config(object())  # type: ignore[arg-type]
    for options in ({"sync_client": object()}, {"async_client": object()}):
        with pytest.raises(ConfigurationError, match="_client must be a glide"):
            ValkeyConnection.from_clients(**options)  # type: ignore[arg-type]


def test_a_client_of_the_other_package(server: EmbeddedValkey) -> None:
    config = glide_sync.GlideClientConfiguration([glide_sync.NodeAddress(server.host, server.port)])
    client = glide_sync.GlideClient.create(config)
    with pytest.raises(ConfigurationError, match=r"async_client must be a glide\.GlideClient"):
        ValkeyConnection.from_clients(async_client=client)  # type: ignore[arg-type]
    assert MessageStore(connection=ValkeyConnection.from_clients(client)).count("s") == 0
    client.close()


@faces
@pytest.mark.parametrize("database", [16, 2**31 - 1])
def test_a_database_that_the_server_lacks(
    server: EmbeddedValkey, database: int, is_async: bool
) -> None:
    with ValkeyConnection.from_url(f"{server.url}/{database}") as connection:
        store = MessageStore(connection=connection)
        began = time.monotonic()
        with pytest.raises(ConfigurationError) as caught:
            asyncio.run(store.acount("s")) if is_async else store.count("s")
        assert time.monotonic() - began < 5
    assert f":{server.port}/{database}: " in str(caught.value)
    assert "CONFIG GET databases" in str(caught.value)


ARGUMENTS = {
    "username": st.text(),
    "password": st.text(),
    "request_timeout": st.one_of(st.floats(), st.integers(), st.text(), st.just(HUGE)),
    "connection_timeout": st.one_of(st.floats(), st.integers(), st.booleans()),
    "cluster": st.one_of(st.booleans(), st.text()),
    "retry_writes": st.one_of(st.booleans(), st.integers()),
    "read_from": st.one_of(st.sampled_from(READ_FROM), st.text(), st.integers()),
    "client_az": st.one_of(st.text(), st.binary()),
    "client_name": st.one_of(st.text(), st.just(HUGE)),
    "tls": st.one_of(st.text(), st.booleans()),
    "iam": st.integers(),
}
URLS = st.one_of(
    st.text(),
    st.builds(
        "{}://{}{}:{}{}?{}={}".format,
        st.sampled_from(["valkey", "valkeys", "redis", "embedded", "http", ""]),
        st.sampled_from(["", "alice:WORD@", ":WORD@", "WORD@", "alice:%ff@"]),
        st.one_of(st.sampled_from(["h", "[::1]", "", "\ud800"]), st.text()),
        st.one_of(st.integers(-1, 10**6), st.text()),
        st.one_of(st.just(""), st.builds("/{}".format, st.one_of(st.integers(), st.text()))),
        st.one_of(st.sampled_from([*ARGUMENTS, "auth"]), st.text()),
        st.one_of(st.floats(), st.integers(), st.text(), st.booleans()),
    ),
)


@settings(deadline=None)
@given(URLS, st.fixed_dictionaries({}, optional=ARGUMENTS))
@example(f"valkey://h/{10**20}", {})
@example("embedded:///" + "a/" * 5000, {})
@example("valkey://[::1%25eth0]:1", {})
@example("valkey://\u2100.com", {})
def test_any_input_is_a_connection_or_a_configuration_error(
    url: str, options: dict[str, Any]
) -> None:
    try:
        connection = ValkeyConnection.from_url(url, **options)
    except ConfigurationError as error:
        said = str(error)
    else:
        said = repr(connection) + repr(connection._factory._settings)
        check_settings(connection._factory._settings)
    assert len(said) > 20
    assert "WORD" not in said


def check_settings(found: Settings) -> None:
    assert 0 < found.port < 65536
    assert 0 <= found.database < 2**31
    assert 0 < found.request_timeout < 86_400
    assert 0 < found.connection_timeout < 86_400
