"""What a URL says about a server. Pure: nothing here connects."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .._errors import ConfigurationError

URL_VARIABLE = "VALKEY_URL"
DEFAULT_URL = "valkey://localhost:6379"

_TLS_OF_SCHEME = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
_EMBEDDED = "embedded"
_PASSWORD_OPTION = re.compile(r"([?&]pass\w*=)[^&]*", re.IGNORECASE)
_SCHEMES = ", ".join(f"{scheme}://" for scheme in (*_TLS_OF_SCHEME, _EMBEDDED))

READ_FROM = (
    "primary",
    "prefer_replica",
    "az_affinity",
    "az_affinity_replicas_and_primary",
    "all_nodes",
    "az_affinity_all_nodes",
)
"""GLIDE's read strategies, as they are spelled in a URL."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A server and how to talk to it. Hashable, and silent about the password."""

    host: str = "localhost"
    port: int = 6379
    tls: bool = False
    username: str | None = None
    password: str | None = None
    database: int = 0
    cluster: bool | None = None
    """None: ask the server once, when the first connection opens."""
    request_timeout: float = 5.0
    connection_timeout: float = 2.0
    read_from: str = "primary"
    client_az: str | None = None
    client_name: str | None = None
    retry_writes: bool = True
    embedded: bool = False
    directory: Path | None = None
    """Data directory of the embedded server; None is a temporary one."""

    @property
    def address(self) -> str:
        if self.embedded:
            return f"embedded://{self.directory or ''}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{field.name}={'***' if field.name == 'password' else getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"Settings({shown})"


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86_400:
        raise ValueError("give seconds, more than 0")
    return value


def _boolean(text: str) -> bool:
    try:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
            text.lower()
        ]
    except KeyError:
        raise ValueError("give true or false") from None


def _read_from(text: str) -> str:
    if text.lower() not in READ_FROM:
        raise ValueError(f"give one of {', '.join(READ_FROM)}")
    return text.lower()


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "cluster": _boolean,
    "request_timeout": _seconds,
    "connection_timeout": _seconds,
    "read_from": _read_from,
    "client_az": str,
    "client_name": str,
    "retry_writes": _boolean,
}


def resolve_url(url: str | None) -> str:
    """``url``, or the environment's ``VALKEY_URL``, or ``valkey://localhost:6379``."""
    return url or os.environ.get(URL_VARIABLE) or DEFAULT_URL


def mask(url: str) -> str:
    """``url`` with its password hidden, for messages."""
    url = _PASSWORD_OPTION.sub(r"\1***", url)
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at:
        return url
    user, colon, _ = credentials.partition(":")
    return f"{scheme}{separator}{user}{':***' if colon else ''}@{host}"


def parse(url: str) -> Settings:
    """Read a URL.

    ``scheme://[[user]:password@]host[:port][/database][?option=value&...]`` with scheme
    ``valkey``, ``valkeys`` (TLS), ``redis`` or ``rediss`` (TLS), and ``embedded://`` or
    ``embedded:///directory``. User and password are percent-decoded. Options: ``cluster``,
    ``request_timeout`` and ``connection_timeout`` (seconds), ``read_from``, ``client_az``,
    ``client_name``, ``retry_writes``.

    Raises:
        ConfigurationError: Anything else, naming the part; the password is never shown.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
    shown = mask(url)
    if "#" in url:
        raise ConfigurationError(f"URL {shown!r} contains '#': write it as %23")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        # The error of urlsplit may quote the part that holds the password.
        raise ConfigurationError(
            f"URL {shown!r} cannot be read: check host and port, and percent-encode "
            "special characters of the password (urllib.parse.quote)"
        ) from (error if "@" not in url else None)
    if parts.scheme == _EMBEDDED:
        settings = _embedded(parts, shown)
    elif parts.scheme in _TLS_OF_SCHEME:
        settings = _server(parts, port, shown)
    else:
        raise ConfigurationError(f"URL {shown!r} has no known scheme: use one of {_SCHEMES}")
    return replace(settings, **_options(parts.query, shown))


def _embedded(parts: SplitResult, shown: str) -> Settings:
    if parts.netloc:
        raise ConfigurationError(
            f"URL {shown!r} names a host: write embedded:///absolute/path for a directory"
        )
    path = unquote(parts.path)
    if path in ("", "/"):
        return Settings(embedded=True)
    return Settings(embedded=True, directory=Path(path).resolve())


def _server(parts: SplitResult, port: int | None, shown: str) -> Settings:
    if not parts.hostname:
        raise ConfigurationError(f"URL {shown!r} names no host")
    database = parts.path.strip("/")
    if database and not (database.isascii() and database.isdigit()):
        raise ConfigurationError(f"URL {shown!r}: database {database!r} is not a number")
    # "user@" without a password makes no sense to GLIDE; ":password@" is the default user.
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    return Settings(
        host=parts.hostname,
        port=6379 if port is None else port,
        tls=_TLS_OF_SCHEME[parts.scheme],
        username=username,
        password=password,
        database=int(database or 0),
    )


def _options(query: str, shown: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise ConfigurationError(
                f"URL {shown!r} has the unknown option {name!r}: known are {', '.join(_OPTIONS)}"
            )
        try:
            options[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise ConfigurationError(f"URL {shown!r}: {name}={text!r}: {error}") from error
    return options
