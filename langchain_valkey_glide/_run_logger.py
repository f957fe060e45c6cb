"""``ValkeyRunLogger``: what an agent does, in the log of its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack
from uuid import UUID

from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from valkey_memory import RunLog
from valkey_memory.adapters import CHAIN, RunLogOptions, RunRecorder, with_options

_HIDDEN = "langsmith:hidden"
"""The tag of steps that are no business of users."""
_PAUSES = "GraphBubbleUp"
"""What LangGraph raises to pause a run derives from this."""


class ValkeyRunLogger(BaseCallbackHandler):
    """A callback handler that keeps the ordered log of each run of an agent, chain or graph.

    Pass it as a callback, ``config={"callbacks": [logger]}``, in sync and async code; one may serve
    any number of runs at the same time. It logs the run's start and end, and each model, tool,
    retriever and node, with names, durations, errors, and what tokens models say they used. Reading
    it is for ``valkey_memory.RunLog``, which is ``logger.log``, and for ``valkey-memory runs``.

    Whose a run is, it reads from ``config["metadata"]["user_id"]``, so that ``log.clear(user_id=)``
    and ``UserData(also=[logger.log])`` erase a person's runs.

    A log never stops an agent: where its server does not answer, that is logged once in
    ``valkey_memory``, and events are left out for 30 seconds, then tried again.

    Examples:
        >>> from langchain_core.runnables import RunnableLambda
        >>> from langchain_valkey_glide import ValkeyRunLogger
        >>> logger = ValkeyRunLogger(url="embedded://", ttl=24 * 3600)
        >>> chain = RunnableLambda(lambda text: text.upper(), name="shout")
        >>> chain.invoke("tea", config={"callbacks": [logger]})
        'TEA'
        >>> (run,) = logger.log.runs()
        >>> (run.name, run.events, run.state)
        ('shout', 2, 'ended')
        >>> [(event.action, event.details.get("output")) for event in logger.log.read(run.run_id)]
        [('run_start', None), ('run_end', 'TEA')]

    Args:
        run_id: The run that all is logged to. Default: the id that LangChain gives to the outermost
            step, or ``config["run_id"]``.
        payloads: Log what models, tools and users said, shortened to ``max_chars``. False leaves
            out all content, arguments and texts of errors, which may hold personal data.
        options: Those of ``valkey_memory.RunLog``: ``url`` or ``connection``, ``key_prefix``,
            ``ttl`` (a week), ``max_events`` (10,000), ``max_chars`` (2,000).

    Attributes:
        log: The ``valkey_memory.RunLog``.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.

    Round trips: one per event, while the agent waits; in async code in a thread.
    """

    @with_options(RunLogOptions, RunLog)
    def __init__(
        self, *, run_id: str | None = None, payloads: bool = True, **options: Unpack[RunLogOptions]
    ) -> None:
        self.log = RunLog(**options)
        self._options: dict[str, Any] = {"run_id": run_id, "payloads": payloads}
        self._recorder = RunRecorder(self.log, **self._options)

    def __getstate__(self) -> dict[str, Any]:
        return {"log": self.log, **self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.log = state.pop("log")
        self._options = state
        self._recorder = RunRecorder(self.log, **state)

    def _begin(
        self,
        kind: str,
        serialized: Mapping[str, Any] | None,
        kwargs: Mapping[str, Any],
        run_id: UUID,
        parent_run_id: UUID | None,
        details: Mapping[str, Any],
        payload: Mapping[str, Any],
        metadata: Mapping[str, Any] | None,
        *,
        tags: Sequence[str] | None = None,
    ) -> None:
        user_id = (metadata or {}).get("user_id")
        self._recorder.begin(
            kind,
            _name(serialized, kwargs),
            str(run_id),
            _id(parent_run_id),
            details,
            payload,
            hidden=kind == CHAIN and _HIDDEN in (tags or ()),
            user_id=user_id if isinstance(user_id, str) and user_id else None,
        )

    def _end(
        self,
        kind: str,
        run_id: UUID,
        parent_run_id: UUID | None,
        details: Mapping[str, Any],
        payload: Mapping[str, Any],
    ) -> None:
        self._recorder.end(kind, str(run_id), _id(parent_run_id), details, payload)

    def _fail(
        self, kind: str, run_id: UUID, parent_run_id: UUID | None, error: BaseException
    ) -> None:
        paused = _PAUSES in (cls.__name__ for cls in type(error).__mro__)
        self._recorder.end(
            kind,
            str(run_id),
            _id(parent_run_id),
            {"error": type(error).__name__},
            {"message": str(error)},
            outcome="interrupt" if paused else "error",
        )

    # Chains, graphs and their nodes

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chain, graph or node begins."""
        payload = {"input": _gist(inputs)}
        self._begin(
            CHAIN, serialized, kwargs, run_id, parent_run_id, {}, payload, metadata, tags=tags
        )

    def on_chain_end(
        self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """It is done."""
        self._end(CHAIN, run_id, parent_run_id, {}, {"output": _gist(outputs)})

    def on_chain_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """It raised."""
        self._fail(CHAIN, run_id, parent_run_id, error)

    # Models

    def on_chat_model_start(
        self,
        serialized: dict[str, Any] | None,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A chat model is asked."""
        asked = messages[0] if messages else []
        details = {"model": (metadata or {}).get("ls_model_name"), "messages": len(asked)}
        payload = {"input": _plain(asked[-1])} if asked else {}
        self._begin("model", serialized, kwargs, run_id, parent_run_id, details, payload, metadata)

    def on_llm_start(
        self,
        serialized: dict[str, Any] | None,
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A model that completes text is asked."""
        details = {"model": (metadata or {}).get("ls_model_name")}
        payload = {"input": prompts[0] if len(prompts) == 1 else prompts}
        self._begin("model", serialized, kwargs, run_id, parent_run_id, details, payload, metadata)

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A model has answered."""
        generation = next(iter(response.generations[0]), None) if response.generations else None
        message = generation.message if isinstance(generation, ChatGeneration) else None
        usage = getattr(message, "usage_metadata", None)
        usage = usage or (response.llm_output or {}).get("token_usage")
        calls = getattr(message, "tool_calls", None) or []
        details = {"usage": usage, "tools": [call["name"] for call in calls] or None}
        payload: dict[str, Any] = {}
        if message is not None:
            payload = {"output": _plain(message)}
        elif generation is not None:
            payload = {"output": generation.text}
        self._end("model", run_id, parent_run_id, details, payload)

    def on_llm_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A model raised."""
        self._fail("model", run_id, parent_run_id, error)

    # Tools

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool is called."""
        details = {"tool_call_id": kwargs.get("tool_call_id")}
        payload = {"input": input_str if inputs is None else _plain(inputs)}
        self._begin("tool", serialized, kwargs, run_id, parent_run_id, details, payload, metadata)

    def on_tool_end(
        self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """A tool has answered."""
        details = {"status": getattr(output, "status", None)}
        self._end("tool", run_id, parent_run_id, details, {"output": _plain(output)})

    def on_tool_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A tool raised."""
        self._fail("tool", run_id, parent_run_id, error)

    # Retrievers

    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever is asked."""
        payload = {"input": query}
        self._begin("retriever", serialized, kwargs, run_id, parent_run_id, {}, payload, metadata)

    def on_retriever_end(
        self,
        documents: Sequence[Document],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever has answered."""
        output = [document.page_content for document in documents]
        details = {"documents": len(documents)}
        self._end("retriever", run_id, parent_run_id, details, {"output": output})

    def on_retriever_error(
        self,
        error: BaseException,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """A retriever raised."""
        self._fail("retriever", run_id, parent_run_id, error)

    # What else is told

    def on_agent_action(self, action: AgentAction, *, run_id: UUID, **kwargs: Any) -> None:
        """An agent of LangChain's older kind chose a tool."""
        payload = {"input": action.tool_input}
        self._recorder.note("agent_action", str(run_id), {"name": action.tool}, payload)

    def on_agent_finish(self, finish: AgentFinish, *, run_id: UUID, **kwargs: Any) -> None:
        """Such an agent is done."""
        payload = {"output": finish.return_values}
        self._recorder.note("agent_finish", str(run_id), {}, payload)

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        """The application dispatched an event of its own."""
        self._recorder.note("custom", str(run_id), {"name": name}, {"data": _plain(data)})


def _id(run_id: UUID | None) -> str | None:
    return None if run_id is None else str(run_id)


def _name(serialized: Mapping[str, Any] | None, kwargs: Mapping[str, Any]) -> str:
    """What a step is called: by the application, or by its class."""
    found = serialized or {}
    name = kwargs.get("name") or found.get("name") or (found.get("id") or [""])[-1]
    return name if isinstance(name, str) and name else "unnamed"


def _gist(value: Any) -> Any:
    """What is said of a state: its newest message, where it has messages."""
    messages = value.get("messages") if isinstance(value, Mapping) else None
    if isinstance(messages, list) and messages:
        return _plain(messages[-1])
    return _plain(value)


def _plain(value: Any, levels: int = 10) -> Any:
    """Messages by what they say, without what their classes keep beside it."""
    if isinstance(value, BaseMessage):
        said = {"role": value.type, "content": value.content}
        calls = getattr(value, "tool_calls", None) or []
        called = [{"name": call["name"], "args": call["args"]} for call in calls]
        return {**said, "tool_calls": called} if called else said
    if isinstance(value, Mapping) and levels:
        return {name: _plain(one, levels - 1) for name, one in value.items()}
    if isinstance(value, list | tuple) and levels:
        return [_plain(one, levels - 1) for one in value]
    return value
