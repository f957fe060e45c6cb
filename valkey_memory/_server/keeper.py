"""Runs an embedded server, and ends it when its owner has ended, however that ended.

A script of its own, in a process of its own: nothing in a killed owner could do it. It knows
nothing of this library, so that it starts in some 15 ms:

    python keeper.py OWNER LOCK TEMPORARY BINARY [ARGUMENT ...]

OWNER is the process id that the server shall not outlive. LOCK is an open file that keeper and
server hold as long as they live. TEMPORARY is a directory that is removed after the owner's end, or
empty. The rest starts the server, which gets the keeper's standard input, and its standard error to
log to. The keeper prints the server's process id.
"""

from __future__ import annotations

import _thread
import os
import select
import signal
import sys
import time

STOP_SECONDS = 60.0
_POLL_SECONDS = 0.5
_EXITING = 0x4  # PF_EXITING, of the kernel's flags of a process
_KILLED = 1 << (signal.SIGKILL - 1)  # of the signals that it has yet to take


def wait_for_end(pid: int) -> None:
    """Return when the process ``pid`` has ended, reaped or not.

    A parent's death would show in ``os.getppid``, but the owner need not be the parent. Pipes and
    PR_SET_PDEATHSIG are no help: forked children of the owner hold its pipes open, and the signal
    comes when the thread ends that started the process.
    """
    try:
        if sys.platform == "linux":
            select.select([os.pidfd_open(pid)], [], [])
        elif hasattr(select, "kqueue"):
            ends = select.kevent(  # type: ignore[attr-defined,unused-ignore]
                pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, select.KQ_NOTE_EXIT
            )
            select.kqueue().control([ends], 1)
        else:
            poll_for_end(pid)
    except ProcessLookupError:
        return
    except OSError:  # Linux before 5.3, or a sandbox that forbids it
        poll_for_end(pid)


def poll_for_end(pid: int) -> None:
    """``wait_for_end`` without the kernel's help; looks twice a second."""
    began = start_of(pid)
    while began and start_of(pid) == began:
        time.sleep(_POLL_SECONDS)


def start_of(pid: int) -> bytes:
    """When the process started, in ticks as /proc has it, by which a reused pid is noticed.

    Empty if it has ended.
    """
    fields = _stat(pid)
    return fields[19] if fields else b""


def is_ending(pid: int) -> bool:
    """Whether the process was killed, and is there for a moment all the same. Needs /proc."""
    fields = _stat(pid)
    return bool(fields) and bool(int(fields[6]) & _EXITING or int(fields[28]) & _KILLED)


def _stat(pid: int) -> list[bytes]:
    """What /proc says of a process, from its state on; nothing if it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 pathlib takes 10 ms to import
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return []
    # The first thread of a killed process can end before the others, that hold its port still.
    has_threads = int(fields[17]) > 1
    return [] if fields[0] == b"X" or (fields[0] == b"Z" and not has_threads) else fields


def _end_with(owner: int, server: int, temporary: str, ended: list[int]) -> None:
    wait_for_end(owner)
    ended.append(owner)
    try:
        # What is temporary need not be saved. A server that somebody froze must go on to end.
        os.kill(server, signal.SIGKILL if temporary else signal.SIGTERM)
        os.kill(server, signal.SIGCONT)
        time.sleep(STOP_SECONDS)
        os.kill(server, signal.SIGKILL)
    except ProcessLookupError:  # it has ended already
        return


def keep(owner: int, lock: int, temporary: str, command: list[str]) -> None:
    """Run the server until it ends."""
    # It ends with its server and no sooner: what a terminal or a supervisor sends to a whole group
    # is for the owner to judge. What the owner itself ignores or blocks is not for the server.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.set_inheritable(lock, True)
    server = os.posix_spawn(
        command[0],
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT],
    )
    os.close(0)
    os.write(1, b"%d\n" % server)
    os.close(1)
    ended: list[int] = []
    _thread.start_new_thread(_end_with, (owner, server, temporary, ended))
    os.waitpid(server, 0)
    if ended and temporary:
        import shutil

        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    keep(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
    os._exit(0)  # the thread may be about to wait for long
