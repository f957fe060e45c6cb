"""LlamaIndex's own indexes and memories over the vector store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.chat_engine.types import ChatMode
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.memory import Memory, VectorMemory, VectorMemoryBlock
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.retrievers import VectorIndexRetriever
from llama_index.core.schema import ImageNode, IndexNode, NodeWithScore, TextNode
from llama_index.core.vector_stores import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    SimpleVectorStore,
    VectorStoreQuery,
)

from llama_index_valkey_glide import ValkeyDBChatStore, ValkeyVectorStore
from valkey_memory import EmbeddedValkey

from .conftest import MakeStore
from .embedding import BagOfWords

FACTS = {
    "ecs": ("We deployed the payment service to ECS with a blue green strategy", "aws", 2025),
    "lambda": ("The thumbnail function runs on Lambda with one gigabyte of memory", "aws", 2024),
    "bees": ("Bees collect nectar from flowers in the garden", "nature", 2025),
    "rain": ("Rain fell on the hills for seven days", "nature", 2023),
}
FIELDS = {"topic": "tag", "year": "numeric"}


def documents() -> list[Document]:
    return [
        Document(id_=name, text=text, metadata={"topic": topic, "year": year})
        for name, (text, topic, year) in FACTS.items()
    ]


def is_topic(topic: str) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key="topic", value=topic)])


def sources(found: Sequence[NodeWithScore]) -> list[str | None]:
    """The documents that the nodes are from."""
    return [one.node.ref_doc_id for one in found]


def splitter(**options: Any) -> SentenceSplitter:
    """LlamaIndex's usual one, with no punctuation data to load."""
    return SentenceSplitter(chunking_tokenizer_fn=re.compile(r"(?<=\. )").split, **options)


Open = Callable[..., VectorStoreIndex]


@pytest.fixture
def open_index(make_store: MakeStore, embed_model: BagOfWords) -> Open:
    """An index over a store of its own, on the nodes that are there."""

    def make(**options: Any) -> VectorStoreIndex:
        store = make_store(metadata_fields=FIELDS, **options)
        return VectorStoreIndex.from_vector_store(
            store, embed_model=embed_model, transformations=[splitter()]
        )

    return make


@pytest.fixture
def index(make_store: MakeStore, embed_model: BagOfWords) -> VectorStoreIndex:
    """The facts, one node each."""
    return VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(
            vector_store=make_store(metadata_fields=FIELDS)
        ),
        embed_model=embed_model,
        transformations=[splitter()],
    )


def retrieve(index: VectorStoreIndex, text: str, **options: Any) -> list[NodeWithScore]:
    found: list[NodeWithScore] = index.as_retriever(**options).retrieve(text)
    return found


# VectorStoreIndex


def test_documents_are_found(index: VectorStoreIndex) -> None:
    (found,) = retrieve(index, "blue green strategy", similarity_top_k=1)
    text, topic, year = FACTS["ecs"]
    assert found.node.get_content() == text
    assert found.node.ref_doc_id == "ecs"
    assert found.node.metadata == {"topic": topic, "year": year}
    assert 0 < found.get_score() < 1


def test_a_second_object_finds_them_too(index: VectorStoreIndex, open_index: Open) -> None:
    again = open_index()
    before = retrieve(index, "flowers and bees", similarity_top_k=4)
    assert retrieve(again, "flowers and bees", similarity_top_k=4) == before
    assert sources(before)[0] == "bees"


def test_a_document_in_pieces(make_store: MakeStore, embed_model: BagOfWords) -> None:
    text = " ".join(f"Sentence {number} is about subject{number}." for number in range(40))
    pieces = VectorStoreIndex.from_documents(
        [Document(id_="long", text=text), Document(id_="other", text="Rain fell on the hills")],
        storage_context=StorageContext.from_defaults(vector_store=make_store()),
        embed_model=embed_model,
        transformations=[splitter(chunk_size=20, chunk_overlap=0)],
    )
    store = pieces.vector_store
    assert len(store.get_nodes()) > 10
    (found,) = retrieve(pieces, "subject17", similarity_top_k=1)
    assert isinstance(found.node, TextNode)
    piece = found.node
    assert "subject17" in piece.text
    assert text[piece.start_char_idx : piece.end_char_idx] == piece.text
    assert piece.prev_node is not None
    (before,) = store.get_nodes(node_ids=[piece.prev_node.node_id])
    assert before.next_node is not None
    assert before.next_node.node_id == piece.node_id
    pieces.delete_ref_doc("long")
    assert [node.ref_doc_id for node in store.get_nodes()] == ["other"]


def test_insert(index: VectorStoreIndex, open_index: Open) -> None:
    index.insert(Document(id_="trains", text="Trains leave the station at noon"))
    for one in (index, open_index()):
        assert sources(retrieve(one, "station trains", similarity_top_k=1)) == ["trains"]


def test_delete(index: VectorStoreIndex) -> None:
    index.delete_ref_doc("bees")
    assert "bees" not in sources(retrieve(index, "bees", similarity_top_k=10))
    assert len(retrieve(index, "bees", similarity_top_k=10)) == 3


def test_delete_in_a_second_object(index: VectorStoreIndex, open_index: Open) -> None:
    open_index().delete_ref_doc("bees", delete_from_docstore=True)
    assert len(retrieve(index, "bees", similarity_top_k=10)) == 3


def test_delete_nodes(index: VectorStoreIndex) -> None:
    (found,) = retrieve(index, "bees flowers", similarity_top_k=1)
    index.delete_nodes([found.node_id])
    assert "bees" not in sources(retrieve(index, "bees flowers", similarity_top_k=10))


def test_update(index: VectorStoreIndex, open_index: Open) -> None:
    new = Document(id_="rain", text="Snow fell on the mountains", metadata={"topic": "nature"})
    open_index().update_ref_doc(new)
    assert len(index.vector_store.get_nodes()) == len(FACTS)
    (found,) = retrieve(index, "snow mountains", similarity_top_k=1)
    assert (found.node.ref_doc_id, found.node.get_content()) == ("rain", new.text)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (is_topic("aws"), {"ecs", "lambda"}),
        (
            MetadataFilters(
                filters=[
                    is_topic("nature"),
                    MetadataFilter(key="year", operator=FilterOperator.GTE, value=2025),
                ]
            ),
            {"bees"},
        ),
        (MetadataFilters(filters=[is_topic("aws"), is_topic("nature")], condition="or"), {*FACTS}),
        (is_topic("none such"), set()),
        (None, {*FACTS}),
    ],
)
def test_a_retriever_with_filters(
    index: VectorStoreIndex, filters: MetadataFilters | None, expected: set[str]
) -> None:
    found = retrieve(index, "the", similarity_top_k=10, filters=filters)
    assert set(sources(found)) == expected


def test_a_retriever_of_some_documents(index: VectorStoreIndex) -> None:
    found = retrieve(index, "the", similarity_top_k=10, doc_ids=["rain", "ecs"])
    assert set(sources(found)) == {"rain", "ecs"}


def test_a_retriever_that_wants_variety(index: VectorStoreIndex) -> None:
    text, topic, year = FACTS["ecs"]
    index.insert(
        Document(id_="copy", text=f"{text} again", metadata={"topic": topic, "year": year})
    )
    options = {"similarity_top_k": 2, "vector_store_query_mode": "mmr"}
    near = retrieve(index, text, vector_store_kwargs={"mmr_threshold": 1.0}, **options)
    varied = retrieve(index, text, vector_store_kwargs={"mmr_threshold": 0.2}, **options)
    assert sources(near) == ["ecs", "copy"]
    assert sources(varied)[0] == "ecs"
    assert sources(varied)[1] != "copy"


def test_a_query_engine(index: VectorStoreIndex) -> None:
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=2, filters=is_topic("aws"))
    answer = engine.query("How was the payment service deployed?")
    assert FACTS["ecs"][0] in str(answer)  # the mock repeats its prompt
    assert FACTS["bees"][0] not in str(answer)
    assert sources(answer.source_nodes) == ["ecs", "lambda"]


def test_a_chat_engine(index: VectorStoreIndex, server_url: str, index_name: str) -> None:
    memory = Memory.from_defaults(
        session_id="alice",
        chat_store=ValkeyDBChatStore(url=server_url, key_prefix=f"chat-{index_name}:"),
    )
    engine = index.as_chat_engine(
        chat_mode=ChatMode.CONTEXT, llm=MockLLM(), memory=memory, similarity_top_k=1
    )
    answer = engine.chat("Where do bees collect nectar?")
    assert sources(answer.source_nodes) == ["bees"]


def test_images_are_found_beside_texts(index: VectorStoreIndex, open_index: Open) -> None:
    picture = ImageNode(id_="picture", text="a photo of bees", image_url="https://example.org/b")
    writer = open_index()
    writer.insert_nodes([picture])
    found = retrieve(open_index(), "photo bees", similarity_top_k=2)
    assert found[0].node == picture
    assert found[1].node.ref_doc_id == "bees"


MIXED = [
    TextNode(id_="bees", text="bees collect nectar"),
    IndexNode(id_="more", text="more about bees", index_id="bees-index"),
    ImageNode(id_="picture", text="a photo of bees", image_url="https://example.org/b"),
    TextNode(id_="rain", text="rain fell on the hills"),
]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("special", [["more"], ["picture"], ["more", "picture"]], ids="-".join)
def test_an_index_of_mixed_nodes_finds_what_a_simple_store_does(
    make_store: MakeStore, embed_model: BagOfWords, special: list[str], is_async: bool
) -> None:
    """VectorStoreIndex sends the ids of its image and index nodes with every query."""

    def found(store: ValkeyVectorStore | SimpleVectorStore) -> list[NodeWithScore]:
        nodes = [one for one in MIXED if type(one) is TextNode or one.node_id in special]
        index = VectorStoreIndex(
            [one.model_copy(deep=True) for one in nodes],
            storage_context=StorageContext.from_defaults(vector_store=store),
            embed_model=embed_model,
        )
        retriever = index.as_retriever(similarity_top_k=4)
        if is_async:
            return asyncio.run(retriever.aretrieve("bees hills"))
        return retriever.retrieve("bees hills")

    ours, simple = found(make_store()), found(SimpleVectorStore())
    assert len(ours) == 2 + len(special)
    assert {one.node_id: one.score for one in ours} == pytest.approx(
        {one.node_id: one.score for one in simple}
    )
    for one in ours:
        (same,) = (other for other in simple if other.node_id == one.node_id)
        assert one.node == same.node.model_copy(update={"embedding": one.node.embedding})


def test_ids_that_somebody_chose_limit_a_query(
    make_store: MakeStore, embed_model: BagOfWords
) -> None:
    store = make_store()
    index = VectorStoreIndex(
        MIXED,
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model,
    )
    asked = VectorStoreQuery(
        embed_model.get_query_embedding("bees"), node_ids=["more", "picture"], similarity_top_k=4
    )
    assert set(store.query(asked).ids or ()) == {"more", "picture"}
    retriever = VectorIndexRetriever(index, node_ids=["picture"], similarity_top_k=4)
    assert [one.node_id for one in retriever.retrieve("bees")] == ["picture"]


def test_an_ingestion_pipeline(make_store: MakeStore, embed_model: BagOfWords) -> None:
    store = make_store(metadata_fields=FIELDS)
    pipeline = IngestionPipeline(transformations=[splitter(), embed_model], vector_store=store)
    pipeline.run(documents=documents())
    assert {node.ref_doc_id for node in store.get_nodes()} == set(FACTS)


async def test_an_index_in_async_code(index: VectorStoreIndex, open_index: Open) -> None:
    other = open_index()
    await other.ainsert(Document(id_="trains", text="Trains leave the station at noon"))
    retriever = other.as_retriever(similarity_top_k=1)
    questions = {"trains station": "trains", "bees nectar": "bees", "lambda function": "lambda"}
    found = await asyncio.gather(*map(retriever.aretrieve, questions))
    assert [sources(one)[0] for one in found] == list(questions.values())
    await other.adelete_ref_doc("trains")
    await other.adelete_nodes([found[1][0].node_id])
    await other.aupdate_ref_doc(Document(id_="rain", text="Snow fell on the mountains"))
    nodes = await other.vector_store.aget_nodes()
    assert sorted(node.ref_doc_id or "" for node in nodes) == ["ecs", "lambda", "rain"]
    engine = other.as_query_engine(llm=MockLLM(), similarity_top_k=1)
    assert "Snow fell" in str(await engine.aquery("snow"))


def test_an_index_built_with_async_calls(make_store: MakeStore, embed_model: BagOfWords) -> None:
    store = make_store(metadata_fields=FIELDS)
    VectorStoreIndex.from_documents(
        documents(),
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model,
        transformations=[splitter()],
        use_async=True,
    )
    assert {node.ref_doc_id for node in store.get_nodes()} == set(FACTS)


# VectorMemoryBlock in Memory


MakeMemory = Callable[[str], Memory]


@pytest.fixture
def make_memory(
    server_url: str, make_store: MakeStore, embed_model: BagOfWords, index_name: str
) -> MakeMemory:
    """A Memory that soon sends its oldest messages to a vector store; nothing is declared."""

    def make(session_id: str) -> Memory:
        return Memory.from_defaults(
            session_id=session_id,
            token_limit=40,
            chat_history_token_ratio=0.5,
            token_flush_size=10,
            tokenizer_fn=str.split,
            chat_store=ValkeyDBChatStore(url=server_url, key_prefix=f"chat-{index_name}:"),
            memory_blocks=[
                VectorMemoryBlock(
                    vector_store=make_store(),
                    embed_model=embed_model,
                    similarity_top_k=1,
                    retrieval_context_window=2,
                )
            ],
        )

    return make


def conversation(*lines: str) -> list[ChatMessage]:
    return [
        ChatMessage(role=role, content=content)
        for line in lines
        for role, content in (("user", line), ("assistant", "I see."))
    ]


SMALL_TALK = [f"Small talk number {number} goes on and on here" for number in range(4)]


def recalled(messages: Sequence[ChatMessage]) -> str:
    """What the memory blocks put in front."""
    return "".join(message.content or "" for message in messages if message.role == "system")


def test_flushed_messages_are_recalled(make_memory: MakeMemory) -> None:
    memory = make_memory("alice")
    for message in conversation("My dog is called Bello", *SMALL_TALK):
        memory.put(message)
    active = [message.content for message in memory.get_all() if message.role == "user"]
    assert "My dog is called Bello" in active  # archived, but kept
    history = memory.get(input="What is my dog called?")
    assert "My dog is called Bello" in recalled(history)
    assert "My dog is called Bello" not in [message.content for message in history]


def test_a_new_memory_of_the_session_recalls_them(make_memory: MakeMemory) -> None:
    make_memory("alice").put_messages(conversation("My dog is called Bello", *SMALL_TALK))
    history = make_memory("alice").get(input="What is my dog called?")
    assert "My dog is called Bello" in recalled(history)


def test_other_sessions_do_not_recall_them(make_memory: MakeMemory) -> None:
    make_memory("alice").put_messages(conversation("My dog is called Bello", *SMALL_TALK))
    bob = make_memory("bob")
    bob.put_messages(conversation("My cat is called Minka", *SMALL_TALK))
    found = recalled(bob.get(input="What is my dog called?"))
    assert "Bello" not in found
    assert "Minka" in recalled(bob.get(input="What is my cat called?"))
    assert recalled(make_memory("carol").get(input="What is my dog called?")) == ""


@pytest.mark.parametrize("session_id", ["*", "a|b", "alice*", "{alice}", "ünï ☃", "alice:1"])
def test_session_ids_are_taken_literally(make_memory: MakeMemory, session_id: str) -> None:
    make_memory("alice").put_messages(conversation("My dog is called Bello", *SMALL_TALK))
    memory = make_memory(session_id)
    assert "Bello" not in recalled(memory.get(input="What is my dog called?"))
    memory.put_messages(conversation("My cat is called Minka", *SMALL_TALK))
    assert "Minka" in recalled(memory.get(input="What is my cat called?"))


async def test_memory_in_async_code(make_memory: MakeMemory) -> None:
    memory = make_memory("alice")
    for message in conversation("My dog is called Bello", *SMALL_TALK):
        await memory.aput(message)
    assert "My dog is called Bello" in recalled(await memory.aget(input="What is my dog called?"))


async def test_what_the_block_stores(make_memory: MakeMemory, make_store: MakeStore) -> None:
    await make_memory("alice").aput_messages(conversation("My dog is called Bello", *SMALL_TALK))
    nodes = await make_store().aget_nodes()
    assert {node.metadata["session_id"] for node in nodes} == {"alice"}


async def test_a_block_without_a_session(make_store: MakeStore, embed_model: BagOfWords) -> None:
    block = VectorMemoryBlock(vector_store=make_store(), embed_model=embed_model)
    await block.aput([ChatMessage(role="user", content="My dog is called Bello")])
    question = [ChatMessage(role="user", content="my dog")]
    assert "Bello" in await block.aget(question)
    assert await block.aget(question, session_id="alice") == ""


async def test_a_block_with_filters_of_its_own(
    make_store: MakeStore, embed_model: BagOfWords
) -> None:
    store = make_store(metadata_fields={"topic": "tag"})
    block = VectorMemoryBlock(
        vector_store=store,
        embed_model=embed_model,
        query_kwargs={"filters": is_topic("dogs")},
    )
    index = VectorStoreIndex.from_vector_store(store, embed_model=embed_model)
    for topic in ("dogs", "cats"):
        node = TextNode(text=f"all about {topic}", metadata={"topic": topic, "session_id": "s"})
        await index.ainsert_nodes([node])
    question = [ChatMessage(role="user", content="all about cats")]
    assert await block.aget(question, session_id="s") == "all about dogs"
    assert await block.aget(question, session_id="other") == "all about dogs"  # LlamaIndex's way


# VectorMemory


@pytest.fixture
def vector_memory(make_store: MakeStore, embed_model: BagOfWords) -> VectorMemory:
    return VectorMemory.from_defaults(
        vector_store=make_store(),
        embed_model=embed_model,
        retriever_kwargs={"similarity_top_k": 1},
    )


TURNS = [
    ChatMessage(role="user", content="Bob likes burgers"),
    ChatMessage(role="assistant", content="Indeed he does"),
    ChatMessage(role="user", content="Alice likes apples"),
    ChatMessage(role="assistant", content="Which ones?"),
]


def test_vector_memory_puts_and_gets(vector_memory: VectorMemory) -> None:
    for message in TURNS:
        vector_memory.put(message)
    found = vector_memory.get("What does Alice like?")
    assert [message.content for message in found] == ["Alice likes apples", "Which ones?"]
    found = vector_memory.get("Does Bob like burgers?")
    assert [message.content for message in found] == ["Bob likes burgers", "Indeed he does"]


def test_vector_memory_keeps_one_node_per_turn(vector_memory: VectorMemory) -> None:
    vector_memory.set(TURNS)
    nodes = vector_memory.vector_index.vector_store.get_nodes()
    assert sorted(node.get_content() for node in nodes) == [
        "Alice likes apples Which ones?",
        "Bob likes burgers Indeed he does",
    ]


def test_vector_memory_is_reset(vector_memory: VectorMemory) -> None:
    vector_memory.reset()
    vector_memory.set(TURNS)
    vector_memory.reset()
    assert vector_memory.get("Alice") == []


def test_vector_memory_in_a_second_object(
    vector_memory: VectorMemory, make_store: MakeStore, embed_model: BagOfWords
) -> None:
    vector_memory.set(TURNS)
    again = VectorMemory.from_defaults(vector_store=make_store(), embed_model=embed_model)
    again.put(ChatMessage(role="user", content="Carol likes carrots"))
    assert again.get("Bob burgers")[0].content == "Bob likes burgers"


# As simple as can be


def test_the_shortest_construction(embed_model: BagOfWords) -> None:
    with EmbeddedValkey() as server:
        store = ValkeyVectorStore(url=server.url)
        memory = Memory.from_defaults(
            session_id="s1",
            token_limit=40,
            token_flush_size=10,
            chat_store=ValkeyDBChatStore(url=server.url),
            memory_blocks=[VectorMemoryBlock(vector_store=store, embed_model=embed_model)],
        )
        memory.put_messages(conversation("My dog is called Bello", *SMALL_TALK))
        assert "Bello" in recalled(memory.get(input="My dog"))
        store.client.close()
