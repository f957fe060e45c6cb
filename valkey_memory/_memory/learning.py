"""What a ``LongTermMemory`` learns from whole conversations, with a model: facts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _keys
from .._plans import Plan
from .._vectors.text_index import TextIndex
from .extraction import Extraction, Extractor, extract_plan
from .remembering import Rules


class Learning:
    """The part of ``LongTermMemory`` that asks a chat model."""

    _texts: TextIndex
    _rules: Rules
    _key_prefix: str

    def extract_facts(
        self,
        session_id: str,
        *,
        user_id: str,
        model: Any,
        messages: Sequence[Any] | None = None,
    ) -> Extraction:
        """Have a model find facts about the user in what is new in a conversation; store them.

        Each message is considered once, whatever becomes of it: archived, trimmed, or edited, which
        makes it new. Only what the user says can give facts, and greetings, thanks and repetitions
        cost no call of the model. The model is shown what is known already. A fact that changed is
        stored as a new one that names the old as ``replaces``; the old stays with ``valid_until``.
        ``sources`` of a fact are the ids of the messages that say so.

        Safe to call again at any time, by several workers: one of them considers a conversation,
        for two minutes at most before others may, and what it did is not done twice.

        Args:
            session_id: The conversation, as a store with the same ``key_prefix`` keeps it.
            user_id: Whose facts: no others are shown to the model, or changed.
            model: A chat model of LangChain, an LLM of LlamaIndex, or a function from a prompt to a
                text, sync or async. Where LangChain's has structured output, that is used; else its
                text is read tolerantly.
            messages: Consider these, of a conversation that is kept elsewhere. Those that were
                considered in the last 30 days are left out.

        Returns:
            What was stored, and what not, and why.

        Raises:
            InvalidArgumentError: An argument cannot be. What the model throws comes as it is; the
                messages are considered at the next call.

        Round trips: for each 40 messages or 24,000 characters: one that claims them, one that reads
        facts, two that store, one that notes it. One call of the chat model, two of the embedding
        model. One where nothing is new.
        """
        return self._texts.index.run(self.extract_facts_plan(session_id, user_id, model, messages))

    async def aextract_facts(
        self,
        session_id: str,
        *,
        user_id: str,
        model: Any,
        messages: Sequence[Any] | None = None,
    ) -> Extraction:
        """Async ``extract_facts``."""
        plan = self.extract_facts_plan(session_id, user_id, model, messages)
        return await self._texts.index.arun(plan)

    def extract_facts_plan(
        self, session_id: str, user_id: str, model: Any, messages: Sequence[Any] | None
    ) -> Plan[Extraction]:
        key = _keys.list_key(self._key_prefix, session_id)
        extractor = Extractor(self._texts, self._rules, key, session_id, user_id, model)
        return (yield from extract_plan(extractor, messages))
