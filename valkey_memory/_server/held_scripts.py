"""Scripts that a server holds: after the first time, their hash is sent in place of their text."""

from __future__ import annotations

import hashlib

from .._plans import Command
from .failures import HashRefusedError, ScriptNotHeldError

_BY_HASH = {"EVAL": "EVALSHA", "EVAL_RO": "EVALSHA_RO"}


class HeldScripts:
    """What the server of a connection was sent, so that it need not read and hash it again.

    A server that started anew has forgotten it, and each node of a cluster has its own: they answer
    NOSCRIPT, once. An ACL user may be allowed EVAL and not EVALSHA; then the text is always sent.
    """

    def __init__(self) -> None:
        self._hashes: dict[str | bytes, str] = {}
        self._allowed = True

    def by_hash(self, command: Command) -> Command | None:
        """``command`` with the hash in place of its text; None where the text has to be sent."""
        known = self._hashes.get(command[1])
        return (_BY_HASH[str(command[0])], known, *command[2:]) if known else None

    def hold(self, command: Command) -> None:
        """The server has answered ``command``, which had the text."""
        text = command[1]
        if self._allowed and text not in self._hashes:
            raw = text.encode() if isinstance(text, str) else text
            self._hashes[text] = hashlib.sha1(raw, usedforsecurity=False).hexdigest()

    def lose(self, command: Command, error: ScriptNotHeldError) -> None:
        """The server has refused the hash for ``command``."""
        self._hashes.pop(command[1], None)
        if isinstance(error, HashRefusedError):
            self._allowed = False
            self._hashes.clear()


def is_script(commands: tuple[Command, ...]) -> bool:
    """Whether it is one script alone. Beside others one that is not held would be left out."""
    return len(commands) == 1 and commands[0][0] in _BY_HASH
