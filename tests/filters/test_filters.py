"""Filters mean the same everywhere: to a naive oracle, in Python, on the server, and as dicts."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from valkey_memory import (
    Document,
    Filter,
    FilterError,
    Numeric,
    Tag,
    Text,
    ValkeyConnection,
    VectorIndex,
)
from valkey_memory._filters.dicts import to_filter
from valkey_memory._filters.evaluation import Indexed, matches
from valkey_memory._filters.expressions import words
from valkey_memory._filters.query import (
    MAX_QUERY_BYTES,
    MAX_QUERY_TERMS,
    compile_filter,
    encode_tag,
    encode_word,
)
from valkey_memory._vectors.records import view
from valkey_memory._vectors.schema import IndexSchema, Storage

from ..search_server import RealServer, wipe
from ..vectors.conftest import WORKER
from ..vectors.documents import QUERY, ids
from .conditions import FIELDS, POOL, TAGS, TEXTS, Condition, conditions, document_lists, words_of

SCHEMA = IndexSchema("pool", 4, fields=FIELDS)  # type: ignore[arg-type]
ALL = {document.id for document in POOL}
thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
brief = settings(thorough, max_examples=50)


def seen_by_filters(documents: list[Document]) -> dict[str, Indexed]:
    return {d.id: view(d.metadata, d.content, SCHEMA) for d in documents}


POOL_SEEN = seen_by_filters(POOL)


def evaluated(condition: Filter, documents: list[Document]) -> set[str]:
    """Ids by ``_filter_eval.matches``."""
    seen = POOL_SEEN if documents is POOL else seen_by_filters(documents)
    return {one for one, indexed in seen.items() if matches(indexed, condition)}


# In Python


@thorough
@given(conditions)
def test_python_agrees_with_the_oracle(condition: Condition) -> None:
    assert evaluated(condition.expression, POOL) == condition.satisfied(POOL)


@thorough
@given(document_lists(), conditions)
def test_python_agrees_on_random_documents(documents: list[Document], condition: Condition) -> None:
    assert evaluated(condition.expression, documents) == condition.satisfied(documents)


@thorough
@given(conditions)
def test_dicts_and_expressions_agree(condition: Condition) -> None:
    translated = to_filter(condition.as_dict, FIELDS)  # type: ignore[arg-type]
    assert translated is not None
    assert evaluated(translated, POOL) == condition.satisfied(POOL)


def test_the_pool_is_worth_the_name() -> None:
    """Every hostile value is in it, so no condition on one is vacuous."""
    assert len(POOL) >= 60
    values = [document.metadata.get("t") for document in POOL]
    assert sum(value is not None for value in values) >= 60
    assert {type(value) for value in values} == {str, int, bool, type(None)}


# In a store


@pytest.fixture(scope="module")
def exact_pool(standalone_connection: ValkeyConnection) -> Iterator[VectorIndex]:
    name = "vmpool-exact"
    wipe(standalone_connection, name)
    fields: Any = FIELDS
    index = VectorIndex(name, 4, fields=fields, search="exact", connection=standalone_connection)
    index.upsert(POOL)
    yield index
    wipe(standalone_connection, name)


@brief
@given(conditions)
def test_exact_search_agrees(exact_pool: VectorIndex, condition: Condition) -> None:
    expected = condition.satisfied(POOL)
    assert set(ids(exact_pool.page(condition.expression))) == expected
    assert set(ids(exact_pool.search(QUERY, 200, filter=condition.as_dict))) == expected
    assert exact_pool.count(condition.as_dict) == len(expected)


@pytest.fixture(scope="module")
def server_pools(real_server: RealServer | None) -> Iterator[list[VectorIndex]]:
    """The pool in every kind of index; the last reads the hashes of the one before it."""
    assert real_server is not None
    connection, fields = real_server.connection, FIELDS
    kinds: list[dict[str, Any]] = [
        {"name": f"vmpool-json-{WORKER}", "storage": "json", "search": "server"},
        {
            "name": f"vmpool-flat-{WORKER}",
            "storage": "json",
            "search": "server",
            "algorithm": "flat",
        },
        {"name": f"vmpool-hash-{WORKER}", "storage": "hash", "search": "server"},
        {"name": f"vmpool-hash-{WORKER}", "search": "exact"},
    ]
    names = {kind["name"] for kind in kinds}
    wipe(connection, *names)
    pools = [
        VectorIndex(dimension=4, fields=fields, connection=connection, **kind)  # type: ignore[arg-type]
        for kind in kinds
    ]
    for pool in pools[:3]:
        pool.upsert(POOL)
    yield pools
    wipe(connection, *names)


@pytest.mark.real_search
@thorough
@given(conditions)
def test_the_server_agrees(server_pools: list[VectorIndex], condition: Condition) -> None:
    expected = condition.satisfied(POOL)
    for pool in server_pools:
        name = f"{pool.name} {pool.mode}"
        assert set(ids(pool.page(condition.expression))) == expected, name
        assert set(ids(pool.search(QUERY, 200, filter=condition.as_dict))) == expected, name
        assert pool.count(condition.as_dict) == len(expected), name


@pytest.mark.real_search
@pytest.mark.parametrize("value", TAGS, ids=[f"{n}" for n in range(len(TAGS))])
def test_the_server_finds_every_hostile_tag(server_pools: list[VectorIndex], value: Any) -> None:
    expected = {
        d.id for d in POOL if type(d.metadata.get("t")) is type(value) and d.metadata["t"] == value
    }
    for pool in server_pools:
        assert set(ids(pool.page(Tag("t") == value))) == expected
        assert set(ids(pool.search(QUERY, 200, filter={"t": value}))) == expected
        assert set(ids(pool.page(Tag("t") != value))) == ALL - expected


@pytest.mark.real_search
@pytest.mark.parametrize("text", TEXTS, ids=[f"{n}" for n in range(len(TEXTS))])
def test_the_server_finds_every_text(server_pools: list[VectorIndex], text: str) -> None:
    expected = {d.id for d in POOL if words_of(text) and d.content == text}
    for pool in server_pools:
        found = set(ids(pool.search(QUERY, 200, filter=Text("content").phrase(text))))
        assert found >= expected
        assert found == evaluated(Text("content").phrase(text), POOL)


@pytest.fixture(scope="module")
def server_batches(real_server: RealServer | None) -> Iterator[list[VectorIndex]]:
    assert real_server is not None
    fields: Any = FIELDS
    names = [f"vmbatch-json-{WORKER}", f"vmbatch-hash-{WORKER}"]
    storages: tuple[Storage, ...] = ("json", "hash")
    wipe(real_server.connection, *names)
    yield [
        VectorIndex(
            name, 4, fields=fields, storage=storage, search="server", algorithm="flat",
            connection=real_server.connection,
        )
        for name, storage in zip(names, storages, strict=True)
    ]  # fmt: skip
    wipe(real_server.connection, *names)


@pytest.mark.real_search
@brief
@given(document_lists(), st.lists(conditions, min_size=1, max_size=4))
def test_the_server_agrees_on_random_documents(
    server_batches: list[VectorIndex], documents: list[Document], several: list[Condition]
) -> None:
    for index in server_batches:
        index.delete_where(None)
        index.upsert(documents)
        assert index.count() == len(documents)
        for condition in several:
            expected = condition.satisfied(documents)
            assert set(ids(index.page(condition.expression))) == expected
            assert set(ids(index.search(QUERY, 50, filter=condition.as_dict))) == expected


# What no filter may do


def test_nothing_is_never_everything(exact_pool: VectorIndex) -> None:
    for condition in (
        Tag("t").is_in([]),
        Tag("t").contains_any([]),
        Numeric("n").is_in([]),
        Numeric("n").between(2, 1),
        Text("b").matches(""),
        Text("b").matches("!?"),
        Text("b").matches_any(" "),
        Text("b").phrase("-"),
    ):
        assert evaluated(condition, POOL) == set()
        assert evaluated(condition & (Tag("t") == "a"), POOL) == set()
        assert evaluated(condition | (Tag("t") == "a"), POOL) == evaluated(Tag("t") == "a", POOL)
        assert exact_pool.count(condition) == 0
        assert "_none" in compile_filter(condition)
    empties: tuple[dict[str, Any], ...] = (
        {"t": []},
        {"t": {"$in": []}},
        {"l": {"$any": []}},
        {"b": ""},
        {"n": []},
    )
    for empty in empties:
        assert exact_pool.count(empty) == 0


@pytest.mark.real_search
def test_nothing_is_never_everything_on_the_server(server_pools: list[VectorIndex]) -> None:
    empties: tuple[dict[str, Any], ...] = (
        {"t": []},
        {"l": {"$any": []}},
        {"b": "!"},
        {"n": []},
        {"t": "", "l": []},
    )
    for pool in server_pools:
        for empty in empties:
            assert pool.search(QUERY, 200, filter=empty) == []
            assert pool.count(empty) == 0
        assert set(ids(pool.page({"t": ""}))) == evaluated(Tag("t") == "", POOL)


def test_a_filter_has_no_truth_value() -> None:
    one, other = Tag("t") == "a", Numeric("n") > 1
    for use in (
        lambda: bool(one),
        lambda: one and other,
        lambda: one or other,
        lambda: not one,
        lambda: 1 < Numeric("n") < 5,
        lambda: [1] if one else [],
    ):
        with pytest.raises(FilterError, match="no truth value"):
            use()


@pytest.mark.parametrize("other", [True, None, "a", {"t": "a"}, 1], ids=repr)
def test_filters_combine_with_filters_only(other: Any) -> None:
    condition = Tag("t") == "a"
    with pytest.raises(FilterError, match="combined with another filter only"):
        _ = condition & other
    with pytest.raises(FilterError, match="combined with another filter only"):
        _ = condition | other


WRONG_VALUES: dict[str, Any] = {
    "tag None": lambda: Tag("t") == None,  # noqa: E711
    "tag float": lambda: Tag("t") == 1.5,
    "tag list": lambda: Tag("t") == ["a"],
    "tag bytes": lambda: Tag("t") != b"a",
    "tags a string": lambda: Tag("t").is_in("abc"),
    "tags a number": lambda: Tag("t").not_in(1),  # type: ignore[arg-type]
    "tags with None": lambda: Tag("t").contains_all(["a", None]),  # type: ignore[list-item]
    "number None": lambda: Numeric("n") == None,  # noqa: E711
    "number string": lambda: Numeric("n") > "1",  # type: ignore[operator]
    "number bool": lambda: Numeric("n") == True,  # noqa: E712
    "number NaN": lambda: Numeric("n") <= float("nan"),
    "number too large": lambda: Numeric("n") >= 2**53 + 1,
    "numbers a string": lambda: Numeric("n").is_in("123"),  # type: ignore[arg-type]
    "between None": lambda: Numeric("n").between(None, 1),  # type: ignore[arg-type]
    "text None": lambda: Text("b").matches(None),  # type: ignore[arg-type]
    "text list": lambda: Text("b").phrase(["a"]),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("build", WRONG_VALUES.values(), ids=list(WRONG_VALUES))
def test_an_expression_refuses_values_of_another_type(build: Any) -> None:
    with pytest.raises(FilterError):
        build()


WRONG_DICTS: list[Any] = [
    [], "t", 5, {5: "a"}, {"t": {}}, {"t": {"eq": "a"}}, {"t": {5: "a"}}, {"t": {"$foo": "a"}},
    {"$and": []}, {"$or": []}, {"$and": {"t": "a"}}, {"$or": "t"}, {"$not": "a"}, {"$not": [1]},
    {"$in": ["a"]}, {"$nor": [{"t": "a"}]}, {"t": {"$in": "abc"}}, {"t": {"$in": 5}},
    {"t": {"$nin": None}}, {"l": {"$all": "x"}}, {"t": {"$gt": "a"}}, {"t": {"$match": "a"}},
    {"n": {"$in": "12"}}, {"n": {"$in": 1}}, {"n": {"$between": [1]}}, {"n": {"$between": "12"}},
    {"n": {"$between": [1, 2, 3]}}, {"n": {"$any": [1]}}, {"n": {"$phrase": "a"}}, {"n": "1"},
    {"n": True}, {"n": {"$gt": None}}, {"n": {"$gt": [1]}}, {"b": 5}, {"b": ["a", 1]},
    {"b": {"$eq": "a"}}, {"b": {"$match": ["a"]}}, {"t": {"$exists": 1}}, {"t": {"$exists": "no"}},
    {"t": {"$like": "a%"}}, {"missing": "a"}, {"missing": None}, {"missing": {"$exists": False}},
    {"t": {"$eq": {"a": 1}}}, {"t": 1.5}, {"$and": [{"t": "a"}, {"missing": 1}]},
    {"$or": [{"t": "a"}, "b"]}, {"$not": {"missing": 1}}, {"t": {"$not": {"$foo": 1}}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_DICTS, ids=repr)
def test_a_dict_that_is_no_filter_is_an_error(wrong: Any) -> None:
    with pytest.raises(FilterError):
        to_filter(wrong, FIELDS)  # type: ignore[arg-type]


SHORT_FORMS: list[tuple[dict[str, Any], Filter]] = [
    ({"t": "a"}, Tag("t") == "a"),
    ({"t": ["a", "b"]}, Tag("t").is_in(["a", "b"])),
    ({"t": None}, Tag("t").is_empty()),
    ({"t": {"$ne": None}}, Tag("t").exists()),
    ({"n": {"$gt": 1, "$lt": 5}}, (Numeric("n") > 1) & (Numeric("n") < 5)),
    ({"t": "a", "m": 3}, (Tag("t") == "a") & (Numeric("m") == 3)),
    ({"b": "a b"}, Text("b").matches("a b")),
    ({"t": {"$not": "a"}}, Tag("t") != "a"),
    ({"n": {"$not": {"$gt": 1}}}, ~(Numeric("n") > 1)),
    ({"$and": [Tag("t") == "a", {"m": 3}]}, (Tag("t") == "a") & (Numeric("m") == 3)),
]


@pytest.mark.parametrize(("short", "long"), SHORT_FORMS, ids=[str(n) for n in range(10)])
def test_short_forms_of_dicts(short: dict[str, Any], long: Filter) -> None:
    translated = to_filter(short, FIELDS)  # type: ignore[arg-type]
    assert translated is not None
    assert evaluated(translated, POOL) == evaluated(long, POOL)
    assert to_filter(None, FIELDS) is None  # type: ignore[arg-type]


# Encodings

tags = st.one_of(st.sampled_from(TAGS), st.text(), st.integers(-(2**63), 2**64), st.booleans())


@given(tags, tags)
@example(1, True)
@example("1", 1)
@example("", "_z")
@example("a_20", "a ")
def test_tags_encode_to_plain_characters_and_differ(one: Any, other: Any) -> None:
    first, second = encode_tag(one), encode_tag(other)
    assert re.fullmatch(r"[A-Za-z0-9_]{1,201}", first)
    same = type(one) is type(other) and one == other
    assert (first == second) is same


def test_hostile_tags_have_encodings_of_their_own() -> None:
    encoded = [encode_tag(value) for value in TAGS]
    assert len(set(encoded)) == len(TAGS)
    assert not {"_any", "_none"} & set(encoded)


some_words = st.text().map(words).filter(bool).map(lambda found: found[0])


@given(some_words, some_words)
@example("zx61", "a")
@example("zx", "zx7a78")
@example("é", "zxc3a9")
def test_words_encode_to_plain_characters_and_differ(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9]{1,201}", encode_word(one))
    assert (encode_word(one) == encode_word(other)) is (one == other)


def test_hostile_words_have_encodings_of_their_own() -> None:
    every = set(itertools.chain.from_iterable(words_of(text) for text in TEXTS))
    assert len({encode_word(word) for word in every}) == len(every)


@thorough
@given(conditions)
def test_a_query_has_only_the_librarys_own_syntax(condition: Condition) -> None:
    query = compile_filter(condition.expression)
    term = r"@\w+:(\{[A-Za-z0-9_|]+\}|\[\(?[-+\w.]+ \(?[-+\w.]+\]|[a-z0-9]+|\"[a-z0-9 ]+\")"
    assert re.fullmatch(rf"({term}|[() |-])+", query)


# Size


def test_a_query_of_the_largest_size() -> None:
    most = Tag("t").is_in([f"a{number}" for number in range(MAX_QUERY_TERMS)])
    assert compile_filter(most).count("|") == MAX_QUERY_TERMS - 1
    with pytest.raises(FilterError, match="1001 terms, of 10240 and 1000 allowed"):
        compile_filter(Tag("t").is_in([f"a{number}" for number in range(1_001)]))
    room = MAX_QUERY_BYTES - len("@t:{}")
    values = ["a" * 100 + f"{n:02}" for n in range(room // 103)]
    assert len(compile_filter(Tag("t").is_in(values))) <= MAX_QUERY_BYTES
    with pytest.raises(FilterError, match="Split long lists of values"):
        compile_filter(Tag("t").is_in([*values, "b" * 102]))


@pytest.mark.real_search
def test_the_server_takes_a_query_of_the_largest_size(server_pools: list[VectorIndex]) -> None:
    many = Tag("t").is_in(["a", *(f"a{number}" for number in range(MAX_QUERY_TERMS - 1))])
    long = Tag("t").is_in(["a", *("b" * 100 + f"{n:02}" for n in range(98))])
    numbers = Numeric("m").is_in(range(-400, 1))
    assert MAX_QUERY_BYTES - len(compile_filter(long)) < 150
    for pool in server_pools:
        for condition in (many, long, numbers):
            assert set(ids(pool.page(condition))) == evaluated(condition, POOL)
            assert set(ids(pool.search(QUERY, 200, filter=condition))) == evaluated(condition, POOL)
