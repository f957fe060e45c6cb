"""Conversation memory in LlamaIndex: ``ValkeyMemory``, and blocks of facts and recall."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ReActAgent
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import Memory

from llama_index_valkey_glide import (
    ValkeyDBChatStore,
    ValkeyFactsBlock,
    ValkeyMemory,
    ValkeyRecallBlock,
)
from valkey_memory import (
    ConfigurationError,
    ConversationMemory,
    InvalidArgumentError,
    LongTermMemory,
    Summary,
)

from ..memory.scripted import ScriptedModel
from ..memory.test_facts import answer, new
from ..models.words import Words
from .messages import calling, texts_of
from .scripted import ScriptedLLM

# LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones included.
pytestmark = [
    pytest.mark.filterwarnings("ignore:The `__fields:pydantic.PydanticDeprecatedSince20"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:pydantic.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within:DeprecationWarning"),
]


@pytest.fixture
def long_term(url: str) -> Iterator[LongTermMemory]:
    memory = LongTermMemory(Words(), url=url, index_name=f"test-{uuid.uuid4().hex}")
    yield memory
    memory.index.drop(delete_documents=True)


@pytest.fixture
def make_memory(long_term: LongTermMemory, prefix: str) -> Any:
    def make(session_id: str = "s", **options: Any) -> ValkeyMemory:
        known: dict[str, Any] = {"user_id": "mia", "long_term": long_term, "key_prefix": prefix}
        return ValkeyMemory(ConversationMemory(session_id=session_id, **(known | options)))

    return make


def message(role: str, text: str) -> ChatMessage:
    return ChatMessage(role=role, content=text)


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


# ValkeyMemory


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_engine_remembers_across_sessions(
    make_memory: Any, long_term: LongTermMemory, is_async: bool
) -> None:
    def chat(memory: ValkeyMemory, llm: ScriptedLLM, text: str) -> str:
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory, system_prompt="Be kind.")
        return str(asyncio.run(engine.achat(text)) if is_async else engine.chat(text))

    chat(make_memory("monday"), ScriptedLLM("A nice name."), "My cat is called Tom.")
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    llm = ScriptedLLM("Tom.", "You are welcome.")
    assert chat(make_memory("friday"), llm, "What is my cat called?") == "Tom."
    kind, notes, question = llm.heard[0]
    assert kind.content == "Be kind."
    assert notes.role.value == "system"
    assert "- Mia lives in Oslo." in str(notes.content)
    assert "user: My cat is called Tom." in str(notes.content)
    assert question.content == "What is my cat called?"
    chat(make_memory("friday"), llm, "Thanks")
    assert texts_of(llm.heard[1])[2:] == ["What is my cat called?", "Tom.", "Thanks"]


@pytest.mark.parametrize("agent_class", [FunctionAgent, ReActAgent])
async def test_an_agent_remembers_across_sessions(
    make_memory: Any, long_term: LongTermMemory, agent_class: Any
) -> None:
    if agent_class is FunctionAgent:
        script: list[Any] = [calling("add", "c1", a=2, b=3), "It is 5."]
    else:
        script = [
            'Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}',
            "Thought: I can answer.\nAnswer: It is 5.",
        ]
    options = {"tools": [add], "system_prompt": "Be brief.", "streaming": False}
    agent = agent_class(llm=ScriptedLLM(*script), **options)
    answer = await agent.run(user_msg="What is 2 + 3?", memory=make_memory("monday"))
    assert "It is 5." in str(answer)
    stored = make_memory("monday").get_all()
    assert stored[0].content == "What is 2 + 3?"
    assert "It is 5." in str(stored[-1].content)
    remembered = {one.text for one in long_term.list("mia")}
    assert "What is 2 + 3?" in remembered
    llm = ScriptedLLM("Thought: I know.\nAnswer: You asked for 2 + 3.")
    agent = agent_class(llm=llm, **options)
    await agent.run(user_msg="What did I ask you to add?", memory=make_memory("friday"))
    assert "user: What is 2 + 3?" in "\n".join(map(str, texts_of(llm.heard[0])))


def test_a_question_that_the_model_fails_at_is_not_stored(make_memory: Any) -> None:
    class Broken(ScriptedLLM):
        def _next(self, messages: Any) -> ChatMessage:
            raise RuntimeError("overloaded")

    memory = make_memory()
    with pytest.raises(RuntimeError, match="overloaded"):
        SimpleChatEngine.from_defaults(llm=Broken(), memory=memory).chat("Hello?")
    assert make_memory().get_all() == []
    llm = ScriptedLLM("Hi.")
    SimpleChatEngine.from_defaults(llm=llm, memory=memory).chat("Hello again?")
    assert texts_of(llm.heard[0]) == ["Hello again?"]
    assert texts_of(make_memory().get_all()) == ["Hello again?", "Hi."]


def test_what_is_put_and_got(make_memory: Any, long_term: LongTermMemory) -> None:
    memory = make_memory()
    assert memory.get() == memory.get_all() == []
    memory.put(message("assistant", "Welcome."))  # before any question
    memory.put_messages([message("user", "One"), message("assistant", "Two")])
    memory.put(message("user", "Three"))
    assert texts_of(memory.get()) == ["One", "Two", "Three"]
    assert texts_of(memory.get_all()) == ["Welcome.", "One", "Two", "Three"]
    assert texts_of(make_memory().get_all()) == ["Welcome.", "One", "Two"]
    memory.put(message("user", "Four"))
    assert texts_of(memory.get("Five")) == ["One", "Two", "Four"]
    memory.reset()
    assert memory.get_all() == []
    assert {one.text for one in long_term.list("mia")} == {"Welcome.", "One", "Two"}


async def test_async_twins(make_memory: Any) -> None:
    memory = make_memory()
    await memory.aput_messages([message("user", "One"), message("assistant", "Two")])
    await memory.aput(message("user", "Three"))
    assert texts_of(await memory.aget()) == ["One", "Two", "Three"]
    assert texts_of(await memory.aget_all()) == ["One", "Two", "Three"]
    await memory.aset([message("user", "x")])
    assert texts_of(await memory.aget_all()) == ["x"]
    await memory.areset()
    assert await memory.aget_all() == []


def test_what_was_got_can_be_set(make_memory: Any, long_term: LongTermMemory) -> None:
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    summary = Summary(ScriptedModel("They greet."), keep_last=2, when_over=4)
    memory = make_memory(summary=summary)
    for number in range(3):
        memory.put_messages([message("user", f"q{number}"), message("assistant", f"a{number}")])
    found = memory.get()
    assert "They greet." in str(found[0].content)
    memory.set(found)
    assert texts_of(memory.get_all()) == ["q2", "a2"]
    assert memory.get() == found
    assert len(long_term.list("mia", kind="message")) == 6


def test_tokens_that_are_taken_already(make_memory: Any) -> None:
    memory = make_memory(max_tokens=200)
    for number in range(10):
        memory.put_messages(
            [message("user", "question " * 5), message("assistant", f"answer {number}")]
        )
    assert len(memory.get()) > len(memory.get(initial_token_count=120)) >= 2


def test_what_it_refuses(make_memory: Any, url: str) -> None:
    memory = make_memory()
    with pytest.raises(TypeError, match="colour"):
        memory.get(colour="red")
    with pytest.raises(TypeError, match="colour"):
        ValkeyMemory.from_defaults(user_id="a", session_id="s", url=url, colour="red")
    conversation = ConversationMemory(user_id="a", session_id="s", url=url)
    with pytest.raises(TypeError, match="not both"):
        ValkeyMemory.from_defaults(conversation, user_id="a")
    with pytest.raises(ConfigurationError, match="ConversationMemory"):
        ValkeyMemory("memory")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="make it anew"):
        memory.to_dict()


# Blocks


def memory_with(prefix: str, url: str, session_id: str, *blocks: Any, limit: int = 60) -> Memory:
    return Memory.from_defaults(
        session_id=session_id,
        chat_store=ValkeyDBChatStore(url=url, key_prefix=prefix),
        memory_blocks=list(blocks),
        token_limit=limit,
        token_flush_size=8,
        tokenizer_fn=str.split,
    )


def talk(memory: Memory, first: int, number: int) -> None:
    for n in range(first, first + number):
        memory.put(message("user", f"My note {n} is about tea number {n}"))
        memory.put(message("assistant", "I see."))


def test_blocks_in_a_memory(long_term: LongTermMemory, prefix: str, url: str) -> None:
    blocks = ValkeyFactsBlock(long_term, "mia"), ValkeyRecallBlock(long_term, "mia", k=2)
    long_term.remember("Mia lives in Oslo.", user_id="mia")
    long_term.remember("Ben lives in Rome.", user_id="ben")
    memory = memory_with(prefix, url, "monday", *blocks)
    talk(memory, 0, 8)
    remembered = long_term.list("mia", kind="message")
    assert remembered
    assert {one.session_id for one in remembered} == {"monday"}
    later = memory_with(prefix, url, "friday", *blocks)
    later.put(message("user", "Which note is about tea number 2?"))
    (system, question) = later.get()
    assert "- Mia lives in Oslo." in str(system.content)
    assert "user: My note 2 is about tea number 2" in str(system.content)
    assert "Rome" not in str(system.content)
    assert question.content == "Which note is about tea number 2?"
    (system, *_) = memory.get()  # not the session's own
    assert "My note 2" not in str(system.content)


def test_the_recall_block_changes_no_message(long_term: LongTermMemory) -> None:
    block = ValkeyRecallBlock(long_term, "mia")
    given = [message("user", "My cat is called Tom.")]
    before = [one.model_copy(deep=True) for one in given]
    asyncio.run(block.aput(given, from_short_term_memory=True, session_id="s1"))
    asyncio.run(block.aput(given, session_id="s1"))
    asyncio.run(block.aget(given, session_id="s2"))
    assert given == before
    assert len(long_term.list("mia")) == 1
    block.accept_short_term_memory = False
    asyncio.run(block.aput([message("user", "x")], from_short_term_memory=True, session_id="s1"))
    assert len(long_term.list("mia")) == 1


def test_what_a_crash_kept_from_the_block_is_read_from_the_store(
    long_term: LongTermMemory, prefix: str, url: str
) -> None:
    class Crash(BaseException):
        pass

    class Crashing(ValkeyRecallBlock):
        async def aput(self, *arguments: Any, **keywords: Any) -> None:
            raise Crash

    memory = memory_with(prefix, url, "monday", Crashing(long_term, "mia"))  # type: ignore[call-arg]
    with pytest.raises(Crash):
        talk(memory, 0, 8)
    assert long_term.list("mia") == []

    def make_block() -> ValkeyRecallBlock:
        return ValkeyRecallBlock(long_term, "mia", key_prefix=prefix)

    again = memory_with(prefix, url, "monday", make_block())
    again.get()
    stored = asyncio.run(ValkeyDBChatStore(url=url, key_prefix=prefix).get_messages("monday", None))
    assert sorted(one.text for one in long_term.list("mia")) == sorted(map(str, texts_of(stored)))
    number = len(stored)
    for _ in range(2):  # and nothing twice, whoever gives it again
        talk(memory_with(prefix, url, "monday", make_block()), number, 4)
        number += 4
    stored = asyncio.run(ValkeyDBChatStore(url=url, key_prefix=prefix).get_messages("monday", None))
    asyncio.run(make_block().aput(stored, session_id="monday"))
    assert len(long_term.list("mia")) == len(stored)


def test_facts_give_way_one_by_one(long_term: LongTermMemory, prefix: str, url: str) -> None:
    for number in range(6):
        long_term.remember(f"Mia has cat number {number}.", user_id="mia", created_at=number)
    block = ValkeyFactsBlock(long_term, "mia", limit=5)
    content = asyncio.run(block.aget([], session_id="s"))
    assert content.splitlines() == [f"- Mia has cat number {n}." for n in (5, 4, 3, 2, 1)]
    assert asyncio.run(block.atruncate(content, 0)) == content
    shorter = asyncio.run(block.atruncate(content, 7))
    assert shorter is not None
    assert shorter.splitlines() == [f"- Mia has cat number {n}." for n in (5, 4, 3)]
    assert asyncio.run(block.atruncate(content, 30)) is None
    assert asyncio.run(block.atruncate([], 30)) is None  # type: ignore[arg-type]
    memory = memory_with(prefix, url, "s", block, limit=20)
    memory.put(message("user", "one two three four five"))
    system, _ = memory.get()
    assert "cat number 5" in str(system.content)
    assert "cat number 4" in str(system.content)
    assert "cat number 3" not in str(system.content)


@pytest.mark.parametrize("from_store", [False, True])
def test_a_model_finds_facts_in_what_is_flushed(
    long_term: LongTermMemory, prefix: str, url: str, from_store: bool
) -> None:
    model = ScriptedModel(
        lambda prompt: answer(new("Mia makes notes about tea.", 1)) if "tea" in prompt else "[]"
    )
    key_prefix = prefix if from_store else None
    block = ValkeyFactsBlock(long_term, "mia", model=model, key_prefix=key_prefix)
    memory = memory_with(prefix, url, "monday", block)
    talk(memory, 0, 8)
    assert model.prompts
    assert [one.text for one in long_term.facts("mia")] == ["Mia makes notes about tea."]
    assert "- Mia makes notes about tea." in str(memory.get()[0].content)
    asked = len(model.prompts)
    said = [message("user", "Thanks")]
    asyncio.run(block.aput(said, session_id="tuesday"))
    assert len(model.prompts) == asked


def test_wrong_arguments_of_blocks(long_term: LongTermMemory) -> None:
    for make in (ValkeyFactsBlock, ValkeyRecallBlock):
        with pytest.raises(InvalidArgumentError, match="long_term"):
            make("memory", "mia")  # type: ignore[arg-type]
        with pytest.raises(InvalidArgumentError, match="user_id"):
            make(long_term, "")
    with pytest.raises(InvalidArgumentError):
        ValkeyFactsBlock(long_term, "mia", limit=0)
    block = ValkeyRecallBlock(long_term, "mia")
    for call in (block.aget([]), block.aput([])):
        with pytest.raises(InvalidArgumentError, match="session_id"):
            asyncio.run(call)
    assert asyncio.run(block.aget([], session_id="s")) == ""
