"""What must not be shown: passwords, and URLs that may have one.

Errors show URLs through ``mask``. Values that lie in variables are kept in strings that hide
themselves, because tools that report errors print the variables of every frame.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self, SupportsIndex

_HIDDEN = "***"
_URL = re.compile(
    r"""
    (?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?
    (?:(?P<user>[^:]*)(?P<password>:.*)?@)?
    (?P<host>\[[0-9A-Fa-f:.%]*\]|[^:/?\#@\[\]]*)
    (?::(?P<port>[^/?\#@]*))?
    (?P<path>/[^?\#@]*)?
    (?:\?(?P<query>[^\#@]*))?
    (?P<fragment>\#[^@]*)?
    """,
    re.VERBOSE | re.DOTALL,
)
_OPTION = re.compile(r"[a-z_]{1,40}")
_VALUE = re.compile(r"[A-Za-z0-9_.-]*")
_SHOWN_OPTIONS = {
    *("cluster", "request_timeout", "connection_timeout"),
    *("read_from", "client_az", "client_name", "retry_writes"),
}


def mask(url: str) -> str:
    """``url`` for messages: without its password, and without what may be one.

    Shown are scheme, user, host, port, path, and the values of options that this library knows.
    Where special characters were not percent-encoded, it shows as little as leaves no doubt.
    """
    url = str(url)
    if url.startswith("embedded:///"):  # no credentials, and a path may have any character
        path, mark, query = url.partition("?")
        return path + mark + _mask_query(query)
    found = _URL.fullmatch(url)
    before_host, at, _ = url.rpartition("@")
    if found is None or (at and re.search(r"[?#]", before_host)):
        # Part of a password may look like a host or a query.
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url)
        return (scheme[0] if scheme else "") + _HIDDEN
    shown = found["scheme"] or ""
    if at:
        # A lone name is a user, or a password whose colon was forgotten.
        shown += (f"{found['user']}:" if found["password"] else "") + f"{_HIDDEN}@"
    shown += found["host"]
    if (port := found["port"]) is not None:
        if not re.fullmatch(r"[0-9]{0,5}", port):
            return f"{shown}:{_HIDDEN}"  # a password whose host was forgotten, and what follows it
        shown += f":{port}"
    if path := found["path"]:
        shown += path if re.fullmatch(r"/[0-9]*", path) else f"/{_HIDDEN}"
    if found["query"] is not None:
        shown += "?" + _mask_query(found["query"])
    return shown + (f"#{_HIDDEN}" if found["fragment"] else "")


def _mask_query(query: str) -> str:
    shown, hides = [], False
    for option in query.split("&"):
        name, equals, value = option.partition("=")
        known = name in _SHOWN_OPTIONS
        if not equals or not (known or (name and mask_option(name) == name and not hides)):
            shown.append(_HIDDEN if option else "")
        else:
            shown.append(f"{name}={value if known and _VALUE.fullmatch(value) else _HIDDEN}")
        # What follows an unknown option may be the rest of a password with an ampersand.
        hides = hides or not known
    return "&".join(shown)


def mask_option(name: str) -> str:
    """The name of an option for messages, where it is likely to be one."""
    return name if _OPTION.fullmatch(name) else _HIDDEN


class Secret(str):
    """A string whose ``repr`` hides it. ``str()`` gives it as a plain one."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(_HIDDEN)

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(key))  # some tools show the beginning of what is long

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # no pickle depends on this class


class SecretUrl(Secret):
    """A URL whose ``repr`` hides its password."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(mask(self))


def hide_url(url: Any) -> Any:
    """A URL that hides its password; what is no string as it is."""
    return SecretUrl(url) if isinstance(url, str) else url


def hide(value: Any) -> Any:
    """A string that hides itself; what is no string as it is."""
    return Secret(value) if isinstance(value, str) else value


def hide_url_in(options: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments, or fields, whose ``url`` hides itself."""
    return {name: hide_url(value) if name == "url" else value for name, value in options.items()}
