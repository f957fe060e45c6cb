"""Memory of a conversation whose messages somebody else keeps: the state of a graph, mostly."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace
from typing import TypeVar

from .._arguments import shown
from .._conversations.sessions import session_plan
from .._conversations.summaries import text_of
from .._errors import InvalidArgumentError
from .._messages.codecs import Codec
from .._plans import Plan
from .._together import together_plan
from .both import Both
from .budget import Found, choose
from .context import Context, LeftOut
from .scope import check_owner, scope
from .turn_memory import TurnMemory
from .turn_settings import TurnSettings
from .turns import said

M = TypeVar("M")

_MORE = 50
"""Of what is recalled in the same conversation, so many may be what the model sees anyway."""


class MemoryBesideState(TurnMemory[M]):
    """What a graph's state does not hold: summary, facts, other conversations; and a turn's end.

    Args:
        codec: Of the framework's messages.
        settings: Those of all conversations. ``last=0`` reads none of the stored messages.
        user_id: Whose conversation it is. One that is on record as another user's is refused.
        session_id: The conversation.
        title: Of the conversation's record, where that has none.
        within_session: Recall from this conversation, too, what the model does not see.
    """

    def __init__(
        self,
        codec: Codec[M],
        settings: TurnSettings,
        user_id: str,
        session_id: str,
        *,
        title: str | None = None,
        within_session: bool = False,
    ) -> None:
        if title is not None:
            settings = replace(settings, store={**settings.store, "title": title})
        if not isinstance(within_session, bool):
            raise InvalidArgumentError(
                f"within_session must be True or False, not {shown(within_session)}"
            )
        super().__init__(codec, settings, user_id, session_id)
        self._within_session = within_session

    def notes(
        self, question: str | M, *, seen: Set[str] = frozenset(), reserve: int = 0
    ) -> Context[M]:
        """What the model needs beside the messages that it is given anyway.

        Args:
            question: A text, or a whole message.
            seen: The ids of those messages. None of them is in the context.
            reserve: So many of ``max_tokens`` they take, with instructions.

        Raises:
            NotOwnerError: The conversation is another user's.
            Exception: Whatever the embedding model throws.

        Round trips: as ``context``.
        """
        return self._run(self._notes_plan(question, seen, reserve))

    async def anotes(
        self, question: str | M, *, seen: Set[str] = frozenset(), reserve: int = 0
    ) -> Context[M]:
        """Async ``notes``."""
        return await self._arun(self._notes_plan(question, seen, reserve))

    def _notes_plan(self, question: str | M, seen: Set[str], reserve: int) -> Plan[Context[M]]:
        settings, asked = self.settings, self._both(question, "user")
        elsewhere = None if self._within_session else self.session_id
        more = min(len(seen), _MORE) if self._within_session else 0
        _, (summary, messages), (facts, known, recalled) = yield from together_plan(
            self._check_owner_plan(),
            self._stored_plan(seen),
            self._memories_plan(
                said(asked.element).text, scope(self.user_id, exclude_session=elsewhere), more
            ),
        )
        untold = known - len(facts)
        found = Found(
            asked,
            summary,
            facts,
            recalled,
            settings.k,
            messages,
            [LeftOut("facts", untold, f"facts={settings.facts}")] if untold > 0 else [],
            seen,
        )
        allowed = settings.budget.less(reserve)
        return choose(found, allowed, lambda text: self._codec.of_text("system", text))

    def _stored_plan(self, seen: Set[str]) -> Plan[tuple[str, list[Both[M]]]]:
        """The summary, and the newest messages that the model does not see. One round trip."""
        last, has_summary = self.settings.last, self.settings.store["summary"] is not None
        if last == 0:
            if not has_summary:
                return "", []
            return (yield from self._plans.summary_plan(self.session_id)) or "", []
        stored: list[Both[M]]
        stored = yield from self._plans.messages_plan(self.session_id, last, None, None, True)
        summary = text_of(stored[0].element) if stored and has_summary else None
        messages = stored if summary is None else stored[1:]
        return summary or "", [one for one in messages if one.element.get("id") not in seen]

    def check_owner(self) -> None:
        """Raise where the conversation is another user's; ``notes`` does so itself.

        Raises:
            NotOwnerError: It is.

        Round trips: one.
        """
        self._run(self._check_owner_plan())

    async def acheck_owner(self) -> None:
        """Async ``check_owner``."""
        await self._arun(self._check_owner_plan())

    def _check_owner_plan(self) -> Plan[None]:
        # What is in the list is remembered as the user's: so it must not be somebody else's.
        record = yield from session_plan(self.settings.store["key_prefix"], self.session_id)
        check_owner(self.session_id, record.user_id if record else None, self.user_id)
