"""Chat engines and agents run for real over our stores, and go on from what is in Valkey."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.agent.workflow.workflow_events import AgentStream, ToolCallResult
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import BaseChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import BaseMemory, ChatMemoryBuffer, Memory
from llama_index.core.schema import TextNode
from llama_index.core.workflow import Context, JsonSerializer

from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore, ValkeyMemory

from .behind import bare
from .messages import calling, texts_of
from .scripted import ScriptedLLM

# LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones included.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The `__fields:pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:pydantic.PydanticDeprecatedSince211"),
]

MakeMemory = Callable[[], BaseMemory]


@pytest.fixture(params=["Memory", "ChatMemoryBuffer", "ValkeyMemory"])
def make_memory(request: pytest.FixtureRequest, url: str, prefix: str) -> MakeMemory:
    """Makes a memory of session s, each time with a store of its own."""

    def make() -> BaseMemory:
        if request.param == "Memory":
            return Memory.from_defaults(
                session_id="s",
                chat_store=ValkeyDBChatStore(url=url, key_prefix=prefix),
                tokenizer_fn=str.split,
            )
        if request.param == "ValkeyMemory":
            return ValkeyMemory.from_defaults(
                user_id="mia", session_id="s", url=url, key_prefix=prefix
            )
        return ChatMemoryBuffer.from_defaults(
            chat_store=ValkeyChatStore(url=url, key_prefix=prefix),
            chat_store_key="s",
            tokenizer_fn=str.split,
        )

    return make


# Chat engines


def simple(llm: ScriptedLLM, memory: BaseMemory) -> SimpleChatEngine:
    return SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be brief.")


def index() -> VectorStoreIndex:
    nodes = [TextNode(text="Valkey is a key-value store.")]
    return VectorStoreIndex(nodes=nodes, embed_model=MockEmbedding(embed_dim=4))


def context(llm: ScriptedLLM, memory: BaseMemory) -> ContextChatEngine:
    return ContextChatEngine.from_defaults(retriever=index().as_retriever(), llm=llm, memory=memory)


def condense(llm: ScriptedLLM, memory: BaseMemory) -> CondensePlusContextChatEngine:
    return CondensePlusContextChatEngine.from_defaults(
        retriever=index().as_retriever(), llm=llm, memory=memory
    )


def chat(engine: BaseChatEngine, text: str) -> str:
    return str(engine.chat(text))


def stream_chat(engine: BaseChatEngine, text: str) -> str:
    return "".join(engine.stream_chat(text).response_gen)


def achat(engine: BaseChatEngine, text: str) -> str:
    return str(asyncio.run(engine.achat(text)))


def astream_chat(engine: BaseChatEngine, text: str) -> str:
    async def main() -> str:
        response = await engine.astream_chat(text)
        return "".join([token async for token in response.async_response_gen()])

    return asyncio.run(main())


def sync_inside_a_loop(engine: BaseChatEngine, text: str) -> str:
    """As in a notebook."""

    async def main() -> str:
        return chat(engine, text)

    return asyncio.run(main())


engines = pytest.mark.parametrize("make_engine", [simple, context, condense])
ways = pytest.mark.parametrize("ask", [chat, stream_chat, achat, astream_chat, sync_inside_a_loop])


@engines
@ways
def test_a_chat_engine_stores_the_conversation_and_a_second_one_goes_on(
    make_memory: MakeMemory,
    url: str,
    prefix: str,
    make_engine: Callable[[ScriptedLLM, BaseMemory], BaseChatEngine],
    ask: Callable[[BaseChatEngine, str], str],
) -> None:
    engine = make_engine(ScriptedLLM("A key-value store."), make_memory())
    assert ask(engine, "What is Valkey?") == "A key-value store."
    first_turn = [
        {"role": "user", "content": "What is Valkey?"},
        {"role": "assistant", "content": "A key-value store."},
    ]
    assert bare(url, prefix, "s") == first_turn

    script = ["Is Valkey fast?"] if make_engine is condense else []  # the condensed question
    llm = ScriptedLLM(*script, "It is fast.")
    second = make_engine(llm, make_memory())
    assert ask(second, "Is it fast?") == "It is fast."
    assert llm.lines_left == 0
    assert bare(url, prefix, "s") == [
        *first_turn,
        {"role": "user", "content": "Is it fast?"},
        {"role": "assistant", "content": "It is fast."},
    ]
    assert texts_of(llm.heard[-1])[1:] == ["What is Valkey?", "A key-value store.", "Is it fast?"]
    if make_engine is condense:
        assert "A key-value store." in str(llm.heard[0][0].content)
    if make_engine is not simple:
        assert "Valkey is a key-value store." in str(llm.heard[-1][0].content)
    assert texts_of(second.chat_history) == [
        "What is Valkey?",
        "A key-value store.",
        "Is it fast?",
        "It is fast.",
    ]


@engines
def test_resetting_an_engine_deletes_the_conversation(
    make_memory: MakeMemory,
    url: str,
    prefix: str,
    make_engine: Callable[[ScriptedLLM, BaseMemory], BaseChatEngine],
) -> None:
    engine = make_engine(ScriptedLLM("A key-value store."), make_memory())
    engine.chat("What is Valkey?")
    assert len(bare(url, prefix, "s")) == 2
    engine.reset()
    assert bare(url, prefix, "s") == []
    assert engine.chat_history == []


@engines
def test_a_chat_history_given_to_an_engine_replaces_the_stored_one(
    make_memory: MakeMemory,
    url: str,
    prefix: str,
    make_engine: Callable[[ScriptedLLM, BaseMemory], BaseChatEngine],
) -> None:
    memory = make_memory()
    memory.put(ChatMessage(role="user", content="old"))
    script = ["condensed"] if make_engine is condense else []
    engine = make_engine(ScriptedLLM(*script, "Yes."), memory)
    engine.chat("And?", chat_history=[ChatMessage(role="user", content="new")])
    assert [message["content"] for message in bare(url, prefix, "s")] == ["new", "And?", "Yes."]


def test_engines_of_several_sessions_over_one_store_stay_apart(url: str, prefix: str) -> None:
    store = ValkeyDBChatStore(url=url, key_prefix=prefix)

    async def talk(name: str) -> None:
        memory = Memory.from_defaults(
            session_id=name, chat_store=store, tokenizer_fn=str.split, token_limit=1000
        )
        engine = simple(ScriptedLLM(f"Hello {name}.", f"Bye {name}."), memory)
        await engine.achat(f"I am {name}")
        await engine.achat("Bye")

    async def main() -> None:
        await asyncio.gather(*(talk(f"user{number}") for number in range(8)))

    asyncio.run(main())
    for number in range(8):
        name = f"user{number}"
        contents = [message["content"] for message in bare(url, prefix, name)]
        assert contents == [f"I am {name}", f"Hello {name}.", "Bye", f"Bye {name}."]


# Agents


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def function_agent(llm: ScriptedLLM, streaming: bool) -> FunctionAgent:
    return FunctionAgent(tools=[add], llm=llm, streaming=streaming, system_prompt="Add.")


def agent_workflow(llm: ScriptedLLM, streaming: bool) -> AgentWorkflow:
    agent = FunctionAgent(
        name="adder", description="Adds.", tools=[add], llm=llm, streaming=streaming
    )
    return AgentWorkflow(agents=[agent], root_agent="adder")


agents = pytest.mark.parametrize("make_agent", [function_agent, agent_workflow])
streams = pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streaming"])

TOOL_CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "add", "arguments": '{"a":2,"b":3}'},
}
TOOL_TURN = [
    {"role": "user", "content": "What is 2 + 3?"},
    {"role": "assistant", "content": "", "tool_calls": [TOOL_CALL]},
    {"role": "tool", "content": "5", "tool_call_id": "c1"},
    {"role": "assistant", "content": "It is 5."},
]


async def events_of(agent: Any, text: str, memory: BaseMemory, **options: Any) -> list[Any]:
    """Run an agent to its end; the events of its stream, and its answer last."""
    handler = agent.run(user_msg=text, memory=memory, **options)
    events = [event async for event in handler.stream_events()]
    return [*events, str(await handler)]


@agents
@streams
async def test_an_agent_stores_tool_call_and_result_and_a_second_one_goes_on(
    make_memory: MakeMemory,
    url: str,
    prefix: str,
    make_agent: Callable[[ScriptedLLM, bool], Any],
    streaming: bool,
) -> None:
    agent = make_agent(ScriptedLLM(calling("add", "c1", a=2, b=3), "It is 5."), streaming)
    *events, answer = await events_of(agent, "What is 2 + 3?", make_memory())
    assert answer == "It is 5."
    (result,) = [event for event in events if type(event) is ToolCallResult]
    assert result.tool_output.content == "5"
    assert any(type(event) is AgentStream for event in events) is streaming
    assert bare(url, prefix, "s") == TOOL_TURN

    llm = ScriptedLLM("It was 5.")
    *_, answer = await events_of(make_agent(llm, streaming), "What was it?", make_memory())
    assert answer == "It was 5."
    assert bare(url, prefix, "s") == [
        *TOOL_TURN,
        {"role": "user", "content": "What was it?"},
        {"role": "assistant", "content": "It was 5."},
    ]
    question, call, added, answered, _ = [
        message for message in llm.heard[0] if message.role != "system"
    ]
    assert question.content == "What is 2 + 3?"
    assert call == calling("add", "c1", a=2, b=3)
    assert (added.role, added.content) == ("tool", "5")
    assert added.additional_kwargs["tool_call_id"] == "c1"
    assert answered.content == "It is 5."


@agents
def test_an_agent_that_is_started_in_loop_after_loop(
    make_memory: MakeMemory, make_agent: Callable[[ScriptedLLM, bool], Any]
) -> None:
    memory = make_memory()
    for turn in range(3):
        agent = make_agent(ScriptedLLM(f"answer {turn}"), False)
        *_, answer = asyncio.run(events_of(agent, f"question {turn}", memory))
        assert answer == f"answer {turn}"
    assert texts_of(memory.get_all()) == [
        f"{kind} {turn}" for turn in range(3) for kind in ("question", "answer")
    ]


async def test_parallel_tool_calls_and_a_failing_tool_are_stored(
    make_memory: MakeMemory, url: str, prefix: str
) -> None:
    def divide(a: int, b: int) -> float:
        """Divide two numbers."""
        return a / b

    both = ChatMessage(
        role="assistant",
        blocks=[
            *ChatMessage(role="assistant", content="Let me see.").blocks,
            *calling("add", "c1", a=2, b=3).blocks,
            *calling("divide", "c2", a=1, b=0).blocks,
        ],
    )
    agent = FunctionAgent(
        tools=[add, divide], llm=ScriptedLLM(both, "5 and an error."), streaming=False
    )
    memory = make_memory()
    await events_of(agent, "2 + 3 and 1 / 0?", memory)
    _, call, *results, _ = bare(url, prefix, "s")
    assert call["content"] == "Let me see."
    assert [called["id"] for called in call["tool_calls"]] == ["c1", "c2"]
    assert sorted((result["tool_call_id"], result["content"]) for result in results) == [
        ("c1", "5"),
        ("c2", "division by zero"),
    ]
    assert (await memory.aget_all())[1] == both


async def test_a_handoff_between_two_agents_is_stored(
    make_memory: MakeMemory, url: str, prefix: str
) -> None:
    handoff = calling("handoff", "c0", to_agent="adder", reason="a sum")
    greeter = FunctionAgent(
        name="greeter",
        description="Greets.",
        llm=ScriptedLLM(handoff),
        can_handoff_to=["adder"],
        streaming=False,
    )
    adder = FunctionAgent(
        name="adder",
        description="Adds.",
        tools=[add],
        llm=ScriptedLLM(calling("add", "c1", a=2, b=3), "It is 5."),
        streaming=False,
    )
    workflow = AgentWorkflow(agents=[greeter, adder], root_agent="greeter")
    *_, answer = await events_of(workflow, "What is 2 + 3?", make_memory())
    assert answer == "It is 5."
    stored = bare(url, prefix, "s")
    assert stored[0] == TOOL_TURN[0]
    assert stored[-3:] == TOOL_TURN[1:]
    assert [call["id"] for message in stored for call in message.get("tool_calls", [])] == [
        "c0",
        "c1",
    ]


async def test_a_context_is_written_down_with_its_memory_and_goes_on(url: str, prefix: str) -> None:
    """LlamaIndex's way to keep an agent between requests: its context, memory included."""
    memory = ChatMemoryBuffer.from_defaults(
        chat_store=ValkeyChatStore(url=url, key_prefix=prefix), chat_store_key="s"
    )
    agent = function_agent(ScriptedLLM(calling("add", "c1", a=2, b=3), "It is 5."), False)
    context = Context(agent)
    await agent.run(user_msg="What is 2 + 3?", memory=memory, ctx=context)
    written = json.dumps(context.to_dict(serializer=JsonSerializer()))
    assert "It is 5." not in written

    llm = ScriptedLLM("It was 5.")
    agent = function_agent(llm, False)
    again = Context.from_dict(agent, json.loads(written), serializer=JsonSerializer())
    await agent.run(user_msg="What was it?", ctx=again)
    assert texts_of(llm.heard[0])[1:] == ["What is 2 + 3?", None, "5", "It is 5.", "What was it?"]
    assert bare(url, prefix, "s")[-1] == {"role": "assistant", "content": "It was 5."}
