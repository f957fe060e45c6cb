"""Who has the data directory of an embedded server.

A lock, held by the server and its keeper for as long as one of them lives, so that never two
servers write to one directory. The locked file says who the owner is and where the server listens.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .._errors import ConfigurationError, EmbeddedServerError
from .keeper import STOP_SECONDS, is_ending, start_of

LOCK_FILE = "valkey-memory.lock"
_LOOK_SECONDS = 0.02
# The keeper kills a server that does not stop in time; then the lock is free.
_PATIENCE_SECONDS = STOP_SECONDS + 10.0
_UNKNOWN_SECONDS = 5.0


@functools.cache
def psutil() -> Any:
    try:
        return importlib.import_module("psutil")
    except ImportError as error:
        raise ConfigurationError(
            "an embedded server needs psutil: pip install 'valkey-glide-memory[embedded]'"
        ) from error


def _began(pid: int) -> str:
    """What tells a process from another that gets its number later; empty if it has ended."""
    if sys.platform == "linux":
        # psutil reckons from the wall clock, so what it says of one process may change.
        return start_of(pid).decode()
    ps = psutil()
    with contextlib.suppress(ps.NoSuchProcess):
        process = ps.Process(pid)
        return "" if process.status() == ps.STATUS_ZOMBIE else str(process.create_time())
    return ""


@dataclass(frozen=True, slots=True)
class Process:
    """A process, not to be taken for another that got its number later."""

    pid: int
    began: str

    @classmethod
    def of(cls, pid: int) -> Process:
        """The process that has the number now."""
        return cls(pid, _began(pid))

    @property
    def is_this(self) -> bool:
        return self.pid == os.getpid()

    @property
    def alive(self) -> bool:
        return self.is_there and not is_ending(self.pid)

    @property
    def is_there(self) -> bool:
        """Whether it has not ended yet, if only to give back its port and its files."""
        return bool(self.began) and _began(self.pid) == self.began

    def end(self, *, save: bool = True) -> None:
        """Have a server end, by force where it does not within a minute."""
        kinds = (signal.SIGTERM, signal.SIGKILL) if save else (signal.SIGKILL,)
        with contextlib.suppress(ProcessLookupError):
            for kind in kinds:
                if not self.is_there:
                    return
                os.kill(self.pid, kind)
                os.kill(self.pid, signal.SIGCONT)  # a frozen one cannot end
                self._wait(STOP_SECONDS)

    def _wait(self, seconds: float) -> None:
        pause, deadline = 0.001, time.monotonic() + seconds
        while self.is_there and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(2 * pause, _LOOK_SECONDS)


@dataclass(frozen=True, slots=True)
class Holder:
    """What the locked file says: whose server it is, and where it listens once it does."""

    owner: Process
    server: Process | None = None
    port: int | None = None

    @property
    def is_shared(self) -> bool:
        """Whether the owner is this process or an ancestor, whose server this process may use."""
        family = {os.getpid(), *(parent.pid for parent in psutil().Process().parents())}
        return self.owner.pid in family and self.owner.alive


class DataDirectory:
    """The directory of one embedded server. Use it under a lock of the caller's.

    Args:
        path: It is made if missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / LOCK_FILE
        self.lock: int | None = None
        """The open file, while this process holds it: from ``take`` to ``leave``."""
        self._giver: int | None = None

    def take(self) -> Holder | None:
        """Lock the directory, or say who in the family has it, once their server is up.

        Waits for a server that is about to end, and ends one that lost both owner and keeper.

        Raises:
            EmbeddedServerError: A stranger has it, or it cannot be used.
        """
        began = time.monotonic()
        while not self._locked():
            holder = self.read()
            if holder is not None and holder.owner.alive:
                if not holder.is_shared:
                    raise self._held(holder)
                if holder.server is not None and holder.server.alive:
                    return holder
            elif holder is not None and holder.server is not None:
                self._end_orphan(holder.server)
            patience = _UNKNOWN_SECONDS if holder is None else _PATIENCE_SECONDS
            if time.monotonic() - began > patience:
                raise self._held(holder)
            time.sleep(_LOOK_SECONDS)
        return None

    def write(self, holder: Holder) -> None:
        """Say who has the locked directory. Who reads half of it reads nothing, and looks again."""
        try:
            self._file.write_text(json.dumps(asdict(holder)))
        except OSError as error:
            raise self._unusable(error) from error

    def read(self) -> Holder | None:
        """Who has it; None where nobody says so."""
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            said = json.loads(self._file.read_bytes())
            server = said["server"]
            owner = Process(**said["owner"])
            return Holder(owner, None if server is None else Process(**server), said["port"])
        return None

    def leave(self) -> None:
        """Let go of the lock; a server and its keeper that were given it hold it still."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None

    @contextlib.contextmanager
    def handed_over(self) -> Iterator[None]:
        """Inside, this thread starts a process that is given the lock."""
        self._giver = threading.get_ident()  # under gevent every greenlet has its own
        try:
            yield
        finally:
            self._giver = None

    def after_fork(self) -> None:
        """In a forked child: let go of the lock, unless the child is to become what is given it.

        gevent's Popen forks as anybody does, and so has this called before it hands over the lock.
        """
        if self._giver != threading.get_ident():
            self.leave()
            self._giver = None

    def clear(self) -> None:
        """Say that nobody has it: the owner closed the server."""
        with contextlib.suppress(OSError):
            os.truncate(self._file, 0)

    def _locked(self) -> bool:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        except BaseException as error:
            os.close(lock)
            if isinstance(error, OSError):
                raise EmbeddedServerError(
                    f"cannot lock {str(self._file)!r}: {error}. Choose a directory on a local disk"
                ) from error
            raise
        self.lock = lock
        return True

    def _unusable(self, error: OSError) -> EmbeddedServerError:
        return EmbeddedServerError(
            f"cannot use {str(self.path)!r} as data directory: {error}. Choose a directory that "
            "this user may write to"
        )

    def _end_orphan(self, server: Process) -> None:
        with contextlib.suppress(psutil().Error, OSError):
            found = psutil().Process(server.pid)
            if "valkey" in found.name() and self.path.samefile(found.cwd()):
                server.end()

    def _held(self, holder: Holder | None) -> EmbeddedServerError:
        pid = "unknown" if holder is None else holder.owner.pid
        port = "port" if holder is None or holder.port is None else holder.port
        return EmbeddedServerError(
            f"{self.path} is held by process {pid}. Close it there, or share that server: "
            f"valkey://127.0.0.1:{port}"
        )
