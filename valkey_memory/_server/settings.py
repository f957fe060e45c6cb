"""What a URL says about a server. Pure: nothing here connects."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from .._arguments import shown
from .._errors import ConfigurationError
from .._secrets import Secret, SecretUrl, mask, mask_option

URL_VARIABLE = "VALKEY_URL"
DEFAULT_URL = "valkey://localhost:6379"

_TLS_OF_SCHEME = {"valkey": False, "redis": False, "valkeys": True, "rediss": True}
_EMBEDDED = "embedded"
_DATABASES = 2**31
# urlsplit drops line breaks silently; no part of a URL has a use for the others.
_NOT_IN_A_URL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
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

    def __post_init__(self) -> None:
        if self.password is not None:
            object.__setattr__(self, "password", Secret(self.password))

    def __repr__(self) -> str:
        text = ", ".join(
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        )
        return f"Settings({text})"


def _seconds(value: str | float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = 0.0
    if isinstance(value, bool) or not 0 < seconds < 86_400:
        raise ValueError("give seconds, more than 0 and less than a day")
    return seconds


def _word(text: str) -> str:
    """What CLIENT SETNAME takes."""
    if not isinstance(text, str) or not re.fullmatch(r"[!-~]*", text):
        raise ValueError("give ASCII letters, digits and signs, without spaces")
    return text


_BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError("give true or false")
    return _BOOLEANS[text.lower()]


def _read_from(value: Any) -> str:
    """The name of a strategy, or one of GLIDE's."""
    name = getattr(value, "name", value)
    name = name.lower() if isinstance(name, str) else ""
    if name not in READ_FROM:
        raise ValueError(f"give one of {', '.join(READ_FROM)}")
    return name


_OPTIONS: dict[str, Callable[[str], Any]] = {
    "cluster": _boolean,
    "request_timeout": _seconds,
    "connection_timeout": _seconds,
    "read_from": _read_from,
    "client_az": _word,
    "client_name": _word,
    "retry_writes": _boolean,
}


def resolve_url(url: str | None) -> SecretUrl:
    """``url``, or the environment's ``VALKEY_URL``, or ``valkey://localhost:6379``.

    Raises:
        ConfigurationError: ``url`` is no string.
    """
    if url is not None and not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
    return SecretUrl(url or os.environ.get(URL_VARIABLE) or DEFAULT_URL)


def parse(url: str) -> Settings:
    """Read a URL.

    ``scheme://[[user]:password@]host[:port][/database][?option=value&...]`` with scheme
    ``valkey``, ``valkeys`` (TLS), ``redis`` or ``rediss`` (TLS), and ``embedded://`` or
    ``embedded:///directory``. User and password are percent-decoded. Options: ``cluster``,
    ``request_timeout`` and ``connection_timeout`` (seconds), ``read_from``, ``client_az``,
    ``client_name``, ``retry_writes``.

    Raises:
        ConfigurationError: Anything else, naming the part. Neither the error nor a variable of its
            frames shows the password.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a string, not {type(url).__name__}")
    url = SecretUrl(url)
    try:
        return _parse(str(url))
    except _UnreadableError as error:
        reason = str(error)
    except ValueError:
        # Of urlsplit or of percent-decoding; it may quote the password.
        reason = (
            "cannot be read: check host and port, and percent-encode special characters of the "
            "password (urllib.parse.quote)"
        )
    # Not while that error is handled: its frames have the password in their variables.
    raise ConfigurationError(f"URL {mask(url)!r} {reason}")


def change(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """``settings`` with options that were given as arguments.

    Raises:
        ConfigurationError: One cannot work.
    """
    values = dict(changes)
    for name, value in changes.items():
        try:
            if name in ("username", "password", "client_name", "client_az"):
                if not isinstance(value, str) or _NOT_IN_A_URL.search(value):
                    raise ValueError("give a string, without control characters")
            elif name in ("cluster", "retry_writes"):
                if not isinstance(value, bool):
                    raise ValueError("give True or False")
                continue
            if name in _OPTIONS:
                values[name] = _OPTIONS[name](value)
        except ValueError as error:
            text = "" if name == "password" else f"={shown(value)}"
            raise ConfigurationError(f"{name}{text}: {error}") from None
    return replace(settings, **values)


class _UnreadableError(Exception):
    """Why a URL cannot be read; ``parse`` makes the error of it that users see."""


def _parse(url: str) -> Settings:
    if _NOT_IN_A_URL.search(url):
        raise _UnreadableError("contains a control character or half a character (a surrogate)")
    if "#" in url:
        raise _UnreadableError("contains '#': write it as %23")
    parts = urlsplit(url)
    port = parts.port
    if parts.scheme == _EMBEDDED:
        settings = _embedded(parts)
    elif parts.scheme in _TLS_OF_SCHEME:
        settings = _server(parts, port)
    else:
        raise _UnreadableError(f"has no known scheme: use one of {_SCHEMES}")
    return replace(settings, **_options(parts.query))


def _embedded(parts: SplitResult) -> Settings:
    if parts.netloc:
        raise _UnreadableError("names a host: write embedded:///absolute/path for a directory")
    # A path may have any bytes but NUL.
    path = unquote(parts.path, errors="surrogateescape")
    if path in ("", "/"):
        return Settings(embedded=True)
    try:
        return Settings(embedded=True, directory=Path(path).resolve())
    except (ValueError, OSError, RuntimeError) as error:  # NUL, a loop of links
        raise _UnreadableError(
            f"has a path that cannot be the directory of an embedded server: {error}"
        ) from error


def _server(parts: SplitResult, port: int | None) -> Settings:
    if not parts.hostname:
        raise _UnreadableError("names no host")
    if port == 0:
        raise _UnreadableError("has port 0, where no server listens")
    database = parts.path.strip("/")
    if not re.fullmatch(r"[0-9]{0,100}", database) or int(database or 0) >= _DATABASES:
        raise _UnreadableError(
            "has a path that is not the number of a database: write valkey://host:port/0"
        )
    # "user@" without a password makes no sense to GLIDE; ":password@" is the default user.
    return Settings(
        host=parts.hostname,
        port=6379 if port is None else port,
        tls=_TLS_OF_SCHEME[parts.scheme],
        username=_credential(parts.username),
        password=_credential(parts.password),
        database=int(database or 0),
    )


def _credential(text: str | None) -> str | None:
    if not text:
        return None
    credential = unquote(text, errors="strict")
    if _NOT_IN_A_URL.search(credential):
        raise _UnreadableError("has a control character in user or password")
    return credential


def _options(query: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            text = mask_option(name) if f"{name}=" in query else mask_option("")
            raise _UnreadableError(
                f"has the unknown option {text!r}: known are {', '.join(_OPTIONS)}"
            )
        try:
            options[name] = _OPTIONS[name](text)
        except ValueError as error:
            raise _UnreadableError(f"has a wrong {name}: {error}") from error
    return options
