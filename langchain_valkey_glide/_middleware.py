"""Memory for LangChain's agents: notes before the model, the turn stored after the agent."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict, Unpack, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ModelRequest, ModelResponse
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langgraph.runtime import Runtime

from valkey_memory import Context, InvalidArgumentError, LongTermMemory
from valkey_memory.adapters import (
    MemoryBesideState,
    OnError,
    TurnOptions,
    check_count,
    check_on_error,
    turn_settings,
    with_options,
)

from ._agent_owner import Named, Owner
from ._agent_runs import Run, RunKey, Runs, run_key
from ._agent_turns import (
    is_answered,
    is_summarised,
    name_of,
    question_of,
    turn_of,
    with_notes,
    without_tools,
)
from ._codec import LangChainCodec

_log = logging.getLogger("valkey_memory")


class ValkeyMemoryMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Memory for ``create_agent``: of users across conversations, whoever runs the agent.

    Before the model it adds to the system message what is known of the user, and what was said in
    other conversations that helps to answer: once for each question, so it stays the same while
    the agent calls tools. Nothing of it gets into the agent's state, nor into a checkpoint. After
    the agent it stores the turn, the user's last message and the answer, in the conversation's
    list, once, and remembers it. A run that fails, or waits for somebody's approval, stores
    nothing until it ends.

    Whose memory it is, each run says: the user in its ``context``, and the conversation as the
    ``thread_id`` of its configuration. One middleware serves any number of runs at once.

    Examples:
        >>> from langchain.agents import create_agent
        >>> from langchain_core.language_models import FakeListChatModel  # yours: a chat model
        >>> from langchain_valkey_glide import LocalEmbeddings, ValkeyMemoryMiddleware
        >>> from valkey_memory import LongTermMemory
        >>> long_term = LongTermMemory(LocalEmbeddings(), url="embedded://", index_name="dogs")
        >>> model = FakeListChatModel(responses=["A good name.", "Rex."])
        >>> agent = create_agent(model, middleware=[ValkeyMemoryMiddleware(long_term)])
        >>> def ask(question, thread_id):
        ...     told = agent.invoke(
        ...         {"messages": [("user", question)]},
        ...         {"configurable": {"thread_id": thread_id}},
        ...         context={"user_id": "mia"},
        ...     )
        ...     return told["messages"][-1].content
        >>> ask("My dog is called Rex.", "monday")
        'A good name.'
        >>> ask("What is my dog called?", "friday")
        'Rex.'
        >>> long_term.recall("dog", user_id="mia", session_id="monday")[0].text
        'My dog is called Rex.'

    Args:
        memory: Facts, and what was said in other conversations. None for neither.
        user_id: Where a run says whose memory it is: the name of an attribute or a key of its
            context, or a function of the ``Runtime``.
        session_id: Where it says which conversation it is, likewise. Where its context does not,
            it is ``thread_id`` of ``config["configurable"]``. A conversation belongs to one user; a
            run of another one is refused.
        within_session: Recall from the same conversation, too, what the model does not see: for
            agents whose state is trimmed or summarised.
        last: So many of the newest stored messages stand before those of the state that have not
            the same ids: for agents without a checkpointer, which are given the question alone.
        tool_calls: Store calls of tools and their results with the turn. By default only what user
            and agent said; a structured response as JSON.
        on_error: ``"raise"``, or ``"warn"``: the agent answers without the memory where that fails,
            and the error is logged (``valkey_memory``). A run that does not say whose memory it is
            raises in any case.
        title: Makes the title of a new conversation's record of the text of its first question.
        options: Those of ``valkey_memory.ConversationMemory``, which describes them. ``k`` and
            ``facts`` say how much is told, ``extract`` is a chat model that finds facts in each
            turn, and ``background=True`` has the agent not wait for that, nor for what is
            remembered. ``max_tokens`` is of the whole prompt: notes take at most their ``shares``
            of it, and what the messages leave, which are never cut. ``summary`` is told with the
            notes: for states that do not hold the whole conversation.

    Raises:
        valkey_memory.InvalidArgumentError: An argument cannot be; or, from a run, it does not say
            whose memory it is, or the conversation is another user's.
        valkey_memory.ValkeyMemoryError: Its other subclasses, from a run; unless
            ``on_error="warn"``.

    Round trips: two before the first call of the model, with an embedding of the question between
    them; one without ``memory`` or with ``k=0``. One stores the turn; what remembers it is as in
    ``ConversationMemory.save_turn``.
    """

    @with_options(TurnOptions, turn_settings)
    def __init__(
        self,
        memory: LongTermMemory | None,
        *,
        user_id: Named = "user_id",
        session_id: Named = "session_id",
        within_session: bool = False,
        last: int = 0,
        tool_calls: bool = False,
        on_error: OnError = "raise",
        title: Callable[[str], str] | None = None,
        **options: Unpack[TurnOptions],
    ) -> None:
        super().__init__()
        if memory is not None and not isinstance(memory, LongTermMemory):
            raise InvalidArgumentError(
                "memory must be a valkey_memory.LongTermMemory or None, not "
                f"{type(memory).__name__}"
            )
        for name, flag in (("tool_calls", tool_calls), ("within_session", within_session)):
            if not isinstance(flag, bool):
                raise InvalidArgumentError(f"{name} must be True or False, not {flag!r:.80}")
        if title is not None and not callable(title):
            raise InvalidArgumentError(
                f"title must be a function of the first question, or None, not {title!r:.80}"
            )
        check_count(last, "last", minimum=0)
        self.memory = memory
        self._settings = turn_settings(memory, last=last, **options)
        self.connection = self._settings.connection
        self._owner = Owner(user_id, session_id)
        self._within_session = within_session
        self._tool_calls = tool_calls
        self._on_error = check_on_error(on_error)
        self._title = title
        self._options = options
        self._runs = Runs()

    @property
    def last_error(self) -> Exception | None:
        """Why what was said last in this process is not remembered yet; None once it is."""
        return self._settings.after.last_error

    # Before the model

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Call the model with what memory knows in its system message."""
        memory, key, run = self._begun(request.runtime)
        question = question_of(request.state["messages"])
        if run is None and question is not None:
            context = None
            with self._tolerating("nothing is recalled for", memory):
                context = memory.notes(question, **_beside(memory, request, question))
            run = self._runs.add(key, _run(request, question, context))
        return handler(_told(request, run))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Async ``wrap_model_call``."""
        memory, key, run = self._begun(request.runtime)
        question = question_of(request.state["messages"])
        if run is None and question is not None:
            context = None
            with self._tolerating("nothing is recalled for", memory):
                context = await memory.anotes(question, **_beside(memory, request, question))
            run = self._runs.add(key, _run(request, question, context))
        return await handler(_told(request, run))

    # After the agent

    def after_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Store the turn, once."""
        memory, key, run = self._begun(runtime)
        turn, once = self._turn(state, run)
        if turn:
            memory = self._conversation(runtime, turn[0].text)
            with self._tolerating("a turn is not stored of", memory):
                if run is None or run.context is None:
                    memory.check_owner()
                memory.save_turn(turn[0], turn[1:], once=once)
        self._runs.end(key)

    async def aafter_agent(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:
        """Async ``after_agent``."""
        memory, key, run = self._begun(runtime)
        turn, once = self._turn(state, run)
        if turn:
            memory = self._conversation(runtime, turn[0].text)
            with self._tolerating("a turn is not stored of", memory):
                if run is None or run.context is None:
                    await memory.acheck_owner()
                await memory.asave_turn(turn[0], turn[1:], once=once)
        self._runs.end(key)

    def _turn(
        self, state: AgentState[Any], run: Run | None
    ) -> tuple[list[BaseMessage], str | None]:
        """What is to be stored, and its name; nothing where the run ended without an answer."""
        messages = state["messages"]
        question = run.question if run else question_of(messages)
        if question is None:
            if is_summarised(messages):  # by a run that another process went on with
                _log.warning("a turn is not stored: its question is in the state no more")
            return [], None
        turn = turn_of(messages, question, run.before if run else frozenset())
        if not is_answered(turn):
            return [], None
        if not self._tool_calls:
            turn = without_tools(turn, structured=state.get("structured_response") is not None)
        return turn, name_of(question)

    # A run

    def _begun(
        self, runtime: Runtime[Any]
    ) -> tuple[MemoryBesideState[BaseMessage], RunKey, Run | None]:
        """The conversation of a run, its key, and what is known of it."""
        memory = self._conversation(runtime)
        key = run_key(runtime, memory.user_id, memory.session_id)
        return memory, key, self._runs.get(key)

    def _conversation(
        self, runtime: Runtime[Any], question: str | None = None
    ) -> MemoryBesideState[BaseMessage]:
        title = self._title(question) if self._title and question else None
        return MemoryBesideState(
            LangChainCodec(),
            self._settings,
            self._owner.user_of(runtime),
            self._owner.session_of(runtime),
            title=title or None,
            within_session=self._within_session,
        )

    @contextmanager
    def _tolerating(self, what: str, memory: MemoryBesideState[BaseMessage]) -> Iterator[None]:
        """Raise what memory throws, or log it."""
        try:
            yield
        except Exception as error:
            if self._on_error == "raise":
                raise
            name = type(error).__name__
            _log.warning("%s %r: %s: %s", what, memory.session_id, name, error)

    # In the background

    def close(self) -> None:
        """Wait for what is remembered in threads of this process. The object can be used on."""
        self._settings.after.close()

    async def aclose(self) -> None:
        """Wait for what is remembered in tasks of the running event loop, and in threads."""
        await self._settings.after.aclose()

    def __getstate__(self) -> dict[str, Any]:
        reached = {} if self.memory else {"url": None, "connection": self.connection}
        return {
            "memory": self.memory,
            "user_id": self._owner.user_id,
            "session_id": self._owner.session_id,
            "within_session": self._within_session,
            "last": self._settings.last,
            "tool_calls": self._tool_calls,
            "on_error": self._on_error,
            "title": self._title,
            **self._options,
            **reached,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        ValkeyMemoryMiddleware.__init__(self, **state)

    def __repr__(self) -> str:
        return f"ValkeyMemoryMiddleware({self.memory!r})"


def _beside(
    memory: MemoryBesideState[BaseMessage], request: ModelRequest[Any], question: HumanMessage
) -> _Beside:
    """What the model is given beside the notes."""
    others = [one for one in request.messages if one is not question]
    if request.system_message is not None:
        others.append(request.system_message)
    return {
        "seen": {one.id for one in request.messages if one.id},
        "reserve": memory.count_tokens(others),
    }


class _Beside(TypedDict):
    seen: set[str]
    reserve: int


def _run(
    request: ModelRequest[Any], question: HumanMessage, context: Context[BaseMessage] | None
) -> Run:
    before = frozenset(one.id for one in request.state["messages"] if one.id)
    return Run(question, before, context, request.runtime.control)


def _told(request: ModelRequest[Any], run: Run | None) -> ModelRequest[Any]:
    """The request with what memory knows."""
    context = run.context if run else None
    if context is None:
        return request
    if context.messages:
        messages = cast("list[AnyMessage]", [*context.messages, *request.messages])
        request = request.override(messages=messages)
    if notes := context.system_text():
        request = request.override(system_message=with_notes(request.system_message, notes))
    return request
