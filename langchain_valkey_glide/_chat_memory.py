"""Conversation memory for LangChain: around a chat model, and as a history."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    BaseMessageChunk,
    HumanMessage,
    SystemMessage,
    convert_to_messages,
    message_chunk_to_message,
)
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig

from valkey_memory import Context, ConversationMemory, InvalidArgumentError
from valkey_memory.adapters import TurnMemory

from ._codec import LangChainCodec
from ._saving import Saving


class ValkeyChatMemory(BaseChatMessageHistory):
    """Newest messages, summary, facts and recall for any chat model.

    ``wrap(model)`` is the model with memory: it takes the question alone, gives the model what
    ``ConversationMemory.context`` gathers for it, and stores the turn when the model has answered.
    A question that the model fails at is not stored.

    It is also a chat history, for ``RunnableWithMessageHistory``: facts and summary, as a system
    message, and the newest messages. A history is read before the question is known, so nothing is
    recalled there. Make one per run, as its factory does.

    Examples:
        >>> from langchain_core.language_models import FakeListChatModel  # yours: a chat model
        >>> from langchain_valkey_glide import LocalEmbeddings, ValkeyChatMemory
        >>> from valkey_memory import ConversationMemory, LongTermMemory
        >>> long_term = LongTermMemory(LocalEmbeddings(), url="embedded://", index_name="cats")
        >>> model = FakeListChatModel(responses=["A nice name.", "Tom."])
        >>> monday = ConversationMemory(user_id="mia", session_id="mo", long_term=long_term)
        >>> ValkeyChatMemory(monday).wrap(model).invoke("My cat is called Tom.").content
        'A nice name.'
        >>> friday = ConversationMemory(user_id="mia", session_id="fr", long_term=long_term)
        >>> memory = ValkeyChatMemory(friday)
        >>> memory.wrap(model).invoke("What is my cat called?").content
        'Tom.'
        >>> "user: My cat is called Tom." in memory.context("What is my cat called?").system_text()
        True

    Args:
        memory: The conversation. Its ``last``, ``max_tokens`` and other options hold.

    Raises:
        valkey_memory.ValkeyMemoryError: Its subclasses.
    """

    def __init__(self, memory: ConversationMemory) -> None:
        if not isinstance(memory, ConversationMemory):
            raise InvalidArgumentError(
                f"memory must be a valkey_memory.ConversationMemory, not {type(memory).__name__}"
            )
        self.memory: TurnMemory[BaseMessage] = TurnMemory(
            LangChainCodec(), memory.settings, memory.user_id, memory.session_id
        )
        self.session_id = memory.session_id
        self._read: list[BaseMessage] | None = None

    # Around a model

    def wrap(self, model: Runnable[Any, Any]) -> Runnable[LanguageModelInput, Any]:
        """``model`` with this memory, as a runnable for ``invoke``, ``stream`` and their twins.

        Its input is a question: a text, or messages, of which system messages at the beginning are
        instructions, and stand above the notes. Where the model calls tools, give it the question
        again with the messages after it; the turn is stored with the answer that calls none.

        Args:
            model: A chat model, with tools bound or not, or a chain that takes messages and gives a
                message or a text.
        """
        return _WithMemory(self.memory, model)

    def context(self, question: str | BaseMessage) -> Context[BaseMessage]:
        """What the model is given for ``question``: see ``ConversationMemory.context``."""
        return self.memory.context(question)

    async def acontext(self, question: str | BaseMessage) -> Context[BaseMessage]:
        """Async ``context``."""
        return await self.memory.acontext(question)

    # As a history

    @property
    def messages(self) -> list[BaseMessage]:  # type: ignore[override]
        """Facts and summary, as a system message, and the newest messages. One round trip.

        Read once until messages are added: LangChain counts them after a run, to tell what is new.
        """
        if self._read is None:
            self._read = self.memory.context("").prompt_messages()[:-1]
        return list(self._read)

    async def aget_messages(self) -> list[BaseMessage]:
        """Async ``messages``."""
        if self._read is None:
            self._read = (await self.memory.acontext("")).prompt_messages()[:-1]
        return list(self._read)

    def add_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Store messages of a turn, all or none, and remember them."""
        with Saving(self.session_id):
            self.memory.extend(messages)
        self._read = None

    async def aadd_messages(self, messages: Sequence[BaseMessage]) -> None:
        """Async ``add_messages``."""
        with Saving(self.session_id):
            await self.memory.aextend(messages)
        self._read = None

    def clear(self) -> None:
        """Delete the conversation. What it left in the long-term memory stays."""
        self._read = None
        self.memory.clear()

    async def aclear(self) -> None:
        """Async ``clear``."""
        self._read = None
        await self.memory.aclear()

    def __repr__(self) -> str:
        return f"ValkeyChatMemory({self.session_id!r})"


class _WithMemory(Runnable[LanguageModelInput, Any]):
    """A model with memory."""

    def __init__(self, memory: TurnMemory[BaseMessage], model: Runnable[Any, Any]) -> None:
        if not isinstance(model, Runnable):
            raise InvalidArgumentError(
                f"model must be a chat model or another runnable, not {type(model).__name__}"
            )
        self._memory = memory
        self._model = model

    def _taken(self, system: str, turn: Sequence[BaseMessage]) -> int:
        """The tokens of what is in the prompt beside the context."""
        instructions = [SystemMessage(system)] if system else []
        return self._memory.count_tokens([*instructions, *turn[1:]])

    def invoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        system, turn = _turn(input)
        context = self._memory.context(turn[0], reserve=self._taken(system, turn))
        prompt = _prompt(context, system, turn)
        answer = self._model.invoke(prompt, config, **kwargs)
        if (whole := _with_answer(turn, answer)) is not None:
            with Saving(self._memory.session_id):
                self._memory.save_turn(whole[0], whole[1:])
        return answer

    async def ainvoke(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Any:
        system, turn = _turn(input)
        context = await self._memory.acontext(turn[0], reserve=self._taken(system, turn))
        prompt = _prompt(context, system, turn)
        answer = await self._model.ainvoke(prompt, config, **kwargs)
        if (whole := _with_answer(turn, answer)) is not None:
            with Saving(self._memory.session_id):
                await self._memory.asave_turn(whole[0], whole[1:])
        return answer

    def stream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        system, turn = _turn(input)
        context = self._memory.context(turn[0], reserve=self._taken(system, turn))
        prompt = _prompt(context, system, turn)
        answer: Any = None
        for chunk in self._model.stream(prompt, config, **kwargs):
            answer = chunk if answer is None else answer + chunk
            yield chunk
        if (whole := _with_answer(turn, answer)) is not None:
            with Saving(self._memory.session_id):
                self._memory.save_turn(whole[0], whole[1:])

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        system, turn = _turn(input)
        context = await self._memory.acontext(turn[0], reserve=self._taken(system, turn))
        prompt = _prompt(context, system, turn)
        answer: Any = None
        async for chunk in self._model.astream(prompt, config, **kwargs):
            answer = chunk if answer is None else answer + chunk
            yield chunk
        if (whole := _with_answer(turn, answer)) is not None:
            with Saving(self._memory.session_id):
                await self._memory.asave_turn(whole[0], whole[1:])


def _turn(given: LanguageModelInput) -> tuple[str, list[BaseMessage]]:
    """The instructions in an input, and the turn, which begins with the user's message."""
    if isinstance(given, str):
        return "", [HumanMessage(given)]
    if isinstance(given, PromptValue):
        messages = given.to_messages()
    else:
        messages = convert_to_messages([given] if isinstance(given, BaseMessage) else given)
    begin = 0
    while begin < len(messages) and isinstance(messages[begin], SystemMessage):
        begin += 1
    turn = messages[begin:]
    if not turn or not isinstance(turn[0], HumanMessage):
        raise InvalidArgumentError(
            "the input must be a question: a text, or messages that are the user's first, after "
            "system messages. What was said before comes from memory"
        )
    return "\n\n".join(message.text for message in messages[:begin]), turn


def _prompt(
    context: Context[BaseMessage], system: str, turn: Sequence[BaseMessage]
) -> list[BaseMessage]:
    return [*context.prompt_messages(system)[:-1], *turn]


def _with_answer(turn: Sequence[BaseMessage], answer: object) -> list[BaseMessage] | None:
    """The turn with its answer; None where that calls tools, so that the turn goes on."""
    if isinstance(answer, str):
        return [*turn, AIMessage(answer)]
    if not isinstance(answer, BaseMessage):
        raise InvalidArgumentError(
            f"the model answered {type(answer).__name__}, no message and no text: wrap the chat "
            "model alone, and parse what comes out"
        )
    if isinstance(answer, AIMessage) and answer.tool_calls:
        return None
    said = message_chunk_to_message(answer) if isinstance(answer, BaseMessageChunk) else answer
    return [*turn, said]
