"""What happens to a turn once it is stored: it is remembered, and facts are learned from it."""

from __future__ import annotations

import logging
from typing import Any

from .._attempts import attempted_plan
from .._conversations import changes
from .._errors import InvalidArgumentError
from .._messages.elements import readable
from .._models.chat import check_chat_model
from .._plans import Aside, Plan, change_plan
from .extraction import Extraction, Extractor, extract_plan
from .jobs import BackgroundJobs
from .long_term import LongTermMemory
from .remembering import remember_turn_plan

_log = logging.getLogger("valkey_memory")

LOOKED_AT = 20
"""So many of a conversation's newest messages are looked at after each turn, whether they are
remembered: so what a failure or the end of a process left out is caught up."""
_CLOSE_SECONDS = 120.0


class AfterTurns:
    """Remembers what was said, in the turn's own call or in the background.

    Args:
        long_term: Where; None for nowhere.
        background: Do not let ``save_turn`` wait for it.
        extract: A chat model that finds facts in it, or None.

    Attributes:
        last_error: The last that went wrong in this process, until it succeeds.
    """

    def __init__(
        self, long_term: LongTermMemory | None, *, background: bool, extract: Any = None
    ) -> None:
        if extract is not None:
            check_chat_model(extract)
            if long_term is None:
                raise InvalidArgumentError("extract needs long_term=, where facts are stored")
        self.long_term = long_term
        self.extract = extract
        self.background = background
        self.jobs = BackgroundJobs()
        self.last_error: Exception | None = None

    def close(self) -> None:
        """Wait for what runs in threads of this process."""
        self.jobs.join()

    async def aclose(self) -> None:
        """Wait for what runs in tasks of the running event loop, and for a while in threads."""
        await self.jobs.ajoin(_CLOSE_SECONDS)

    def after_turn_plan(self, key: str, session_id: str, user_id: str) -> Plan[None]:
        """Remember the newest messages of the list ``key``. What fails is noted, not raised."""
        if self.long_term is None:
            return
        if self.background:
            yield Aside(self.jobs, lambda: self._tolerant_plan(key, session_id, user_id))
        else:
            yield from self._tolerant_plan(key, session_id, user_id)

    def _tolerant_plan(self, key: str, session_id: str, user_id: str) -> Plan[None]:
        try:
            newest = self.newest_plan(key, session_id, user_id, LOOKED_AT)
            yield from attempted_plan(newest)
            if self.extract is not None:
                yield from self.extract_plan(key, session_id, user_id)
        except Exception as error:  # noqa: BLE001
            # The turn is stored; whoever stored it is not to hear that it was not.
            self.last_error = error
            name = type(error).__name__
            _log.warning("not all of %r is remembered yet: %s: %s", key, name, error)
        else:
            self.last_error = None

    def extract_plan(self, key: str, session_id: str, user_id: str) -> Plan[Extraction]:
        """Find facts in what is new in the list ``key``."""
        if self.long_term is None or self.extract is None:
            raise InvalidArgumentError("there is no model that finds facts: pass extract=")
        texts, rules = self.long_term._texts, self.long_term._rules
        extractor = Extractor(texts, rules, key, session_id, user_id, self.extract)
        return (yield from attempted_plan(extract_plan(extractor, None)))

    def newest_plan(self, key: str, session_id: str, user_id: str, number: int) -> Plan[int]:
        """Remember the newest ``number`` messages, archived ones among them; how many of them are
        remembered now."""
        if self.long_term is None:
            return 0
        texts, rules = self.long_term._texts, self.long_term._rules
        raws = yield from change_plan(changes.read_newest(key, number))
        said = [element for element in readable(raws) if element.get("role")]
        ids = yield from remember_turn_plan(texts, rules, session_id, said, user_id, None)
        return len(ids)
