"""The one table that maps GLIDE's errors to this library's, by what the caller can do."""

from __future__ import annotations

import re

from .._errors import (
    AuthenticationError,
    CommandError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    IndexExistsError,
    IndexNotFoundError,
    KeyTypeError,
    NotPrimaryError,
    OperationTimeoutError,
    PermissionDeniedError,
    ReplyLostError,
    ServerUnavailableError,
    UnknownCommandError,
    ValkeyMemoryError,
    WriteRefusedError,
)

REPEATED = "REPEATED"
"""How a script says that it was applied before, where it had something to return."""


class ScriptNotHeldError(ServerUnavailableError):
    """The server does not know the script of a hash. Its text is sent at once."""


class HashRefusedError(ScriptNotHeldError):
    """The user may not send hashes of scripts. Their texts are sent from now on."""


_UNKNOWN = "The outcome is unknown: a write may have been applied."
_TIMEOUT = _UNKNOWN + " Read before you write it again, or raise request_timeout."
_KEY_TYPE = (
    "The key holds a value of another type; it was left as it is. "
    "Choose another key_prefix, session id or index name."
)
_CONNECT = "Is the server running, and are address, port and TLS (valkeys://) right?"
_DATABASE = (
    "The database is the number after the port in the URL: give one that the server has (CONFIG "
    "GET databases says how many) and that the user may SELECT."
)
_UNAVAILABLE = "Nothing was applied. It was tried again for as long as request_timeout allows."
_FULL = "Nothing was applied. Free memory, raise maxmemory, or use TTLs and windows."
_REFUSED = "Nothing was applied. The server's log says why it takes no writes."
_REPLICA = "Nothing was applied. The address leads to a replica; give that of the primary."
_PERMISSION = (
    "Grant it to the ACL user: the commands, the keys of lists and of their sidecars, and +info, "
    "which GLIDE sends when it connects."
)

_NO_PERMISSION = r"noperm|permissiondenied|user \S+ has no perm"

# First match wins. Each row: GLIDE's class name ("" is any), a pattern for the beginning of the
# text in lower case, without what GLIDE puts before it; our class, and the way out. Texts are
# matched because GLIDE gives one class to every error reply, and because refused, unresolvable and
# TLS-mismatched addresses share one too. Patterns begin where the text does: what follows the
# error's code may quote a key.
_TABLE: tuple[tuple[str, str, type[ValkeyMemoryError], str], ...] = (
    # Wrong credentials
    ("", "wrongpass|authenticationfailed", AuthenticationError, "Check user and password."),
    ("", "noauth", AuthenticationError, "The server wants a password: valkey://:password@host."),
    ("", rf"({_NO_PERMISSION}).* 'evalsha(_ro)?' command", HashRefusedError, ""),
    ("", _NO_PERMISSION, PermissionDeniedError, _PERMISSION),
    # The outcome is unknown
    ("TimeoutError", "", OperationTimeoutError, _TIMEOUT),
    ("ConnectionError", "", ConnectionLostError, _UNKNOWN),
    ("ClosingError", "$", ConnectionLostError, _UNKNOWN),  # closed while the call was under way
    ("RequestError", ".*(brokenpipe|broken pipe|recverror|channel closed|connection reset)",
     ConnectionLostError, _UNKNOWN),
    ("", "repeated", ReplyLostError, "It was applied, once; what it returned was lost on the way."),
    # Nothing was sent
    ("", "redis server refused to switch database", ConfigurationError, _DATABASE),
    ("", ".*client is closed", ConnectionClosedError, "Open a new connection."),
    ("ConfigurationError", "", ConfigurationError, "Check the options of the connection."),
    ("ClosingError", "", ConnectionFailedError, _CONNECT),
    ("CircuitBreakerError", "", ConnectionFailedError, _CONNECT),
    # Not applied, and worth another try
    ("", "noscript", ScriptNotHeldError, ""),
    ("", "readonly", NotPrimaryError, _REPLICA),
    ("", "masterdown", NotPrimaryError, _REPLICA),
    ("", r"(moved|ask|tryagain|clusterdown|loading|busyloadingerror|busy)\b",
     ServerUnavailableError, _UNAVAILABLE),
    # Not applied
    ("", "oom", WriteRefusedError, _FULL),
    ("", "misconf|noreplicas", WriteRefusedError, _REFUSED),
    ("", "wrongtype", KeyTypeError, _KEY_TYPE),
    ("", "unknown command", UnknownCommandError,
     "Load the module that has it, or use a server that does."),
    ("", ".*index.* already exists", IndexExistsError, "It was left as it is."),
    ("", ".*index.* not found", IndexNotFoundError,
     "Make it first, or look at the names with FT._LIST."),
)  # fmt: skip

# How a client begins that connects with its first request, where others raise ClosingError.
_LAZY = re.compile(r"\w+ connect failed - (\w+: )?")
# What GLIDE puts before the server's text.
_LEAD = re.compile(
    r"(received (connection )?error( for address `[^`]*`)?:? ?|an error was signalled by the "
    r"server: (- )?|responseerror: |`|execabort:.*?previous errors\.?:? ?\(?)*",
)
# What the server adds where a command failed inside a script.
_SCRIPT_LINE = re.compile(r"[. ]*script:.*@user_script:\d+")


def translate(error: Exception, *, operation: str, address: str) -> ValkeyMemoryError:
    """Turn an exception of GLIDE's into ours, naming operation and address.

    Args:
        error: What GLIDE raised, or put in place of a reply.
        operation: What was tried, with its key: ``"append to 'chat:s1'"``.
        address: ``host:port`` of the server, never with credentials.
    """
    name, text = type(error).__name__, " ".join(str(error).split())
    text = _SCRIPT_LINE.sub("", text).rstrip(".")
    lowered = text.lower()
    if lazy := _LAZY.match(lowered):
        name, lowered = "ClosingError", lowered[lazy.end() :]
    if lead := _LEAD.match(lowered):
        lowered = lowered[lead.end() :]
    for class_name, beginning, ours, hint in _TABLE:
        if class_name in ("", name) and re.match(beginning, lowered):
            return ours(f"{operation} failed at {address}: {text}. {hint}")
    return CommandError(f"{operation} failed at {address}: {text}.")
