"""``BaseMemory`` over ``ConversationMemory``: for chat engines and agents."""

from __future__ import annotations

from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock
from llama_index.core.memory import BaseMemory
from pydantic import PrivateAttr

from valkey_memory import ConfigurationError, ConversationMemory
from valkey_memory.adapters import TurnMemory

from ._codec import LlamaIndexCodec

_ANSWERING = (MessageRole.ASSISTANT, MessageRole.MODEL, MessageRole.CHATBOT)


class ValkeyMemory(BaseMemory):
    """Newest messages, summary, facts and recall in each turn, in chat engines and agents.

    ``get`` gives what ``ConversationMemory.context`` gathers for the question: a system message
    with the notes, then the newest messages. A question is held back until its answer is there,
    and both are stored together, in one round trip; so one that the model fails at is not stored.

    One object serves one conversation, one turn at a time. A ``ReActAgent`` leaves out the first
    system message, which would be the notes: give it a ``system_prompt``.

    Examples:
        >>> from llama_index.core.chat_engine import SimpleChatEngine
        >>> from llama_index.core.llms import MockLLM  # yours: an LLM of LlamaIndex
        >>> from llama_index_valkey_glide import LocalEmbedding, ValkeyMemory
        >>> from valkey_memory import ConversationMemory, LongTermMemory
        >>> long_term = LongTermMemory(LocalEmbedding(), url="embedded://", index_name="pets")
        >>> memory = ValkeyMemory(
        ...     ConversationMemory(user_id="mia", session_id="mo", long_term=long_term)
        ... )
        >>> engine = SimpleChatEngine.from_defaults(llm=MockLLM(), memory=memory)
        >>> _ = engine.chat("My cat is called Tom.")
        >>> later = ValkeyMemory(
        ...     ConversationMemory(user_id="mia", session_id="fr", long_term=long_term)
        ... )
        >>> "user: My cat is called Tom." in later.get("What is my cat called?")[0].content
        True

    Args:
        memory: The conversation. Its ``last``, ``max_tokens`` and other options hold.
    """

    _memory: TurnMemory[ChatMessage] = PrivateAttr()
    _turn: list[ChatMessage] = PrivateAttr(default_factory=list)

    def __init__(self, memory: ConversationMemory) -> None:
        if not isinstance(memory, ConversationMemory):
            raise ConfigurationError(
                f"memory must be a valkey_memory.ConversationMemory, not {type(memory).__name__}"
            )
        super().__init__()
        self._memory = TurnMemory(
            LlamaIndexCodec(), memory.settings, memory.user_id, memory.session_id
        )

    @classmethod
    def class_name(cls) -> str:
        return "ValkeyMemory"

    @classmethod
    def from_defaults(cls, memory: ConversationMemory | None = None, **kwargs: Any) -> ValkeyMemory:
        """One of a ``ConversationMemory``, or of the arguments of one."""
        if memory is not None and kwargs:
            raise TypeError(f"give memory= or {', '.join(kwargs)}, not both")
        return cls(ConversationMemory(**kwargs) if memory is None else memory)

    # Reading

    def get(
        self,
        input: str | None = None,  # noqa: A002
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """The notes and the newest messages, for a question that was put, or that is ``input``.

        Args:
            input: The question, where it was not put; it is not among the messages.
            initial_token_count: So many tokens are taken already.
            kwargs: None are known.

        Round trips: two, with an embedding of the question between them.
        """
        _refuse(kwargs)
        reserve = initial_token_count + self._memory.count_tokens(self._turn[1:])
        context = self._memory.context(self._question(input), reserve=reserve)
        return self._given_out(context.prompt_messages())

    async def aget(
        self,
        input: str | None = None,  # noqa: A002
        initial_token_count: int = 0,
        **kwargs: Any,
    ) -> list[ChatMessage]:
        """Async ``get``."""
        _refuse(kwargs)
        reserve = initial_token_count + self._memory.count_tokens(self._turn[1:])
        context = await self._memory.acontext(self._question(input), reserve=reserve)
        return self._given_out(context.prompt_messages())

    def _question(self, given: str | None) -> str | ChatMessage:
        return self._turn[0] if self._turn else given or ""

    def _given_out(self, prompt: list[ChatMessage]) -> list[ChatMessage]:
        return [*prompt[:-1], *self._turn]  # a question that was not put, whoever asks adds

    def get_all(self) -> list[ChatMessage]:
        """All messages, without notes, and what was put of a turn that is going on."""
        return [*self._memory.messages(), *self._turn]

    async def aget_all(self) -> list[ChatMessage]:
        """Async ``get_all``."""
        return [*await self._memory.amessages(), *self._turn]

    # Writing

    def put(self, message: ChatMessage) -> None:
        """Take a message of a turn. With the answer, which calls no tool, the turn is stored.

        The user's next message before that takes the place of the whole turn.
        """
        turn = self._with(message)
        if turn is None:
            self._memory.extend([message])
        elif _is_answer(message):
            self._memory.save_turn(turn[0], turn[1:])
            self._turn = []
        else:
            self._turn = turn

    async def aput(self, message: ChatMessage) -> None:
        """Async ``put``."""
        turn = self._with(message)
        if turn is None:
            await self._memory.aextend([message])
        elif _is_answer(message):
            await self._memory.asave_turn(turn[0], turn[1:])
            self._turn = []
        else:
            self._turn = turn

    def _with(self, message: ChatMessage) -> list[ChatMessage] | None:
        """The turn that is going on, with ``message``; None where none is."""
        if message.role is MessageRole.USER:
            return [message]
        return [*self._turn, message] if self._turn else None

    def put_messages(self, messages: list[ChatMessage]) -> None:
        """``put`` each."""
        for message in messages:
            self.put(message)

    async def aput_messages(self, messages: list[ChatMessage]) -> None:
        """Async ``put_messages``."""
        for message in messages:
            await self.aput(message)

    def set(self, messages: list[ChatMessage]) -> None:
        """Put ``messages`` in place of all, a question at their end among them."""
        self._memory.replace(messages)
        self._turn = []

    async def aset(self, messages: list[ChatMessage]) -> None:
        """Async ``set``."""
        await self._memory.areplace(messages)
        self._turn = []

    def reset(self) -> None:
        """Delete the conversation. What it left in the long-term memory stays."""
        self._turn = []
        self._memory.clear()

    async def areset(self) -> None:
        """Async ``reset``."""
        self._turn = []
        await self._memory.aclear()

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """It cannot be written down.

        Raises:
            valkey_memory.ConfigurationError: Always.
        """
        raise ConfigurationError(
            "ValkeyMemory cannot be written down: it has models and a connection. What it holds is "
            "in Valkey; make it anew, and pass it as memory= where the workflow goes on"
        )


def _refuse(unknown: dict[str, Any]) -> None:
    if unknown:
        raise TypeError(f"get() got an unexpected keyword argument {min(unknown)!r}")


def _is_answer(message: ChatMessage) -> bool:
    """Whether a message ends a turn: an answer that calls no tool."""
    calls = message.additional_kwargs.get("tool_calls") or any(
        isinstance(block, ToolCallBlock) for block in message.blocks
    )
    return message.role in _ANSWERING and not calls
