from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from valkey_memory import ConfigurationError, ValkeyConnection
from valkey_memory._secrets import mask
from valkey_memory._server.settings import Settings, parse, resolve_url


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


@pytest.mark.parametrize(
    "options",
    [
        {"read_from": "nearest"},
        {"request_timeout": 0},
        {"connection_timeout": -1},
        {"tls": object()},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ValkeyConnection.from_url("valkey://h", **options)
