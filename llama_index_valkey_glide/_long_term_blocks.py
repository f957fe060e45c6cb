"""Memory blocks over ``LongTermMemory``, for LlamaIndex's ``Memory``: facts, and recall."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, TextBlock
from llama_index.core.memory import BaseMemoryBlock
from llama_index.core.utils import get_tokenizer
from pydantic import PrivateAttr

from valkey_memory import ConversationMemory, InvalidArgumentError, LongTermMemory
from valkey_memory.adapters import check_count, check_text, fact_line, recalled_line

_NEWEST = 500
"""So many of a conversation's newest messages are looked at to be remembered."""


class _LinesBlock(BaseMemoryBlock[str]):
    """A block of lines, of which the first are the most important."""

    _long_term: LongTermMemory = PrivateAttr()
    _user_id: str = PrivateAttr()

    def __init__(
        self,
        long_term: LongTermMemory,
        user_id: str,
        name: str,
        description: str | None,
        priority: int,
    ) -> None:
        if not isinstance(long_term, LongTermMemory):
            raise InvalidArgumentError(
                f"long_term must be a valkey_memory.LongTermMemory, not {type(long_term).__name__}"
            )
        super().__init__(name=name, description=description, priority=priority)
        self._long_term = long_term
        self._user_id = check_text(user_id, "user_id")

    async def _aput(self, messages: list[ChatMessage]) -> None:
        raise InvalidArgumentError("aput needs session_id=")

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """The first lines, less so many tokens by LlamaIndex's tokenizer; None if none is left."""
        if not content:
            return None
        count = get_tokenizer()
        allowed = len(count(content)) - tokens_to_truncate
        lines = content.splitlines()
        while lines and len(count("\n".join(lines))) > allowed:
            lines.pop()
        return "\n".join(lines) or None


class ValkeyFactsBlock(_LinesBlock):
    """What is known of a user, in every session: a line for each fact, the newest first.

    Where ``Memory`` has too little room, the oldest facts give way, one by one.

    Examples:
        >>> from llama_index.core.memory import Memory
        >>> from llama_index_valkey_glide import LocalEmbedding, ValkeyDBChatStore, ValkeyFactsBlock
        >>> from valkey_memory import LongTermMemory
        >>> long_term = LongTermMemory(LocalEmbedding(), url="embedded://", index_name="facts")
        >>> _ = long_term.remember("Mia has a cat.", user_id="mia")
        >>> memory = Memory.from_defaults(
        ...     session_id="mia-7",
        ...     chat_store=ValkeyDBChatStore(url="embedded://"),
        ...     memory_blocks=[ValkeyFactsBlock(long_term, "mia")],
        ... )
        >>> "- Mia has a cat." in memory.get()[0].content
        True

    Args:
        long_term: Where facts are.
        user_id: Whose.
        model: A chat model, or a function from a prompt to a text, that finds facts in what
            ``Memory`` flushes: see ``LongTermMemory.extract_facts``. Default: none.
        key_prefix: As in ``ValkeyRecallBlock``: have the model read what is new from the chat
            store, also what ``Memory`` has not flushed yet, or what a crash kept from this block.
        limit: At most so many.
        name: In the memory's template.
        description: Likewise.
        priority: 0 is never truncated; of others the greater ones are truncated later.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses.
    """

    _model: Any = PrivateAttr()
    _key_prefix: str | None = PrivateAttr()
    _limit: int = PrivateAttr()

    def __init__(
        self,
        long_term: LongTermMemory,
        user_id: str,
        *,
        model: Any = None,
        key_prefix: str | None = None,
        limit: int = 50,
        name: str = "facts",
        description: str | None = "What is known of the user, the newest first.",
        priority: int = 1,
    ) -> None:
        check_count(limit, "limit")
        super().__init__(long_term, user_id, name, description, priority)
        self._model = model
        self._key_prefix = key_prefix
        self._limit = limit

    async def aput(
        self,
        messages: list[ChatMessage],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        """Have the model find facts in messages of a session; nothing without a model."""
        if self._model is None or (from_short_term_memory and not self.accept_short_term_memory):
            return
        if session_id is None:
            raise InvalidArgumentError("aput needs session_id=")
        if self._key_prefix is None:
            await self._long_term.aextract_facts(
                session_id, user_id=self._user_id, model=self._model, messages=messages
            )
            return
        conversation = ConversationMemory(
            user_id=self._user_id,
            session_id=session_id,
            long_term=self._long_term,
            extract=self._model,
            key_prefix=self._key_prefix,
        )
        await conversation.aextract_facts()

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        facts = await self._long_term.afacts(self._user_id, limit=self._limit)
        return "\n".join(map(fact_line, facts))


class ValkeyRecallBlock(_LinesBlock):
    """What was said in a user's other sessions that helps to answer, found by meaning and words.

    Messages that ``Memory`` flushes are remembered for the user; recall leaves out the current
    session. The messages that it is given stay as they are.

    ``Memory`` archives messages first and gives them to its blocks afterwards, so a process that
    ends in between keeps them from the blocks. With ``key_prefix`` this block reads them from the
    chat store: at each flush, and once for each session that it is asked in.

    Examples:
        >>> import asyncio
        >>> from llama_index.core.llms import ChatMessage
        >>> from llama_index_valkey_glide import LocalEmbedding, ValkeyRecallBlock
        >>> from valkey_memory import LongTermMemory
        >>> long_term = LongTermMemory(LocalEmbedding(), url="embedded://", index_name="recall")
        >>> block = ValkeyRecallBlock(long_term, "mia")
        >>> said = [ChatMessage(role="user", content="My cat is called Tom.")]
        >>> asyncio.run(block.aput(said, session_id="mia-1"))
        >>> question = [ChatMessage(role="user", content="What is my cat called?")]
        >>> asyncio.run(block.aget(question, session_id="mia-2"))[12:]
        ', user: My cat is called Tom.'

    Args:
        long_term: Where messages are remembered.
        user_id: Whose. Every session that the block is used in must be this user's.
        key_prefix: That of the ``ValkeyDBChatStore`` that ``Memory`` has, on the server of
            ``long_term``. Default: only what ``Memory`` gives is remembered. Then a message without
            an id of its own is remembered once for each of its like in a flush.
        k: At most so many messages.
        name: In the memory's template.
        description: Likewise.
        priority: 0 is never truncated; of others the greater ones are truncated later.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses.
    """

    _k: int = PrivateAttr()
    _key_prefix: str | None = PrivateAttr()
    _caught_up: set[str] = PrivateAttr(default_factory=set)

    def __init__(
        self,
        long_term: LongTermMemory,
        user_id: str,
        *,
        key_prefix: str | None = None,
        k: int = 5,
        name: str = "recall",
        description: str | None = "What was said in other conversations that may help now.",
        priority: int = 2,
    ) -> None:
        check_count(k, "k")
        super().__init__(long_term, user_id, name, description, priority)
        self._k = k
        self._key_prefix = key_prefix

    async def aput(
        self,
        messages: list[ChatMessage],
        from_short_term_memory: bool = False,
        session_id: str | None = None,
    ) -> None:
        """Remember messages of a session."""
        if from_short_term_memory and not self.accept_short_term_memory:
            return
        if session_id is None:
            raise InvalidArgumentError("aput needs session_id=")
        # Those of the chat store have their times, which tell "Yes." from an earlier "Yes.".
        if not await self._catch_up(session_id):
            await self._long_term.aremember_turn(session_id, messages, user_id=self._user_id)

    async def _catch_up(self, session_id: str) -> int:
        """Remember what the chat store has of a session; how many messages."""
        if self._key_prefix is None:
            return 0
        conversation = ConversationMemory(
            user_id=self._user_id,
            session_id=session_id,
            long_term=self._long_term,
            key_prefix=self._key_prefix,
            on_corrupt="skip",
        )
        found = await conversation.acatch_up(_NEWEST)
        self._caught_up.add(session_id)
        return found

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        session_id = block_kwargs.get("session_id")
        if session_id is None:
            raise InvalidArgumentError("aget needs session_id=")
        if session_id not in self._caught_up:
            await self._catch_up(session_id)
        question = _question(messages or [])
        if not question.strip():
            return ""
        found = await self._long_term.arecall(
            question,
            user_id=self._user_id,
            k=self._k,
            kinds=["message"],
            exclude_session=session_id,
        )
        return "\n".join(map(recalled_line, found))


def _question(messages: list[ChatMessage]) -> str:
    """What the user said last."""
    said = (message for message in reversed(messages) if message.role is MessageRole.USER)
    blocks = next((message.blocks for message in said), [])
    return "\n".join(block.text for block in blocks if isinstance(block, TextBlock))
