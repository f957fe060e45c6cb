"""MetadataFilters on every backend, against LlamaIndex's own reading of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llama_index.core.vector_stores import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index.core.vector_stores.utils import build_metadata_filter_fn

from llama_index_valkey_glide import ValkeyVectorStore
from llama_index_valkey_glide._nodes import to_condition
from valkey_memory import DocumentError, FilterError
from valkey_memory._filters.expressions import FieldType

from .conftest import MakeStore, Side
from .nodes import ids, node
from .oracle import satisfies

Op = FilterOperator
FIELDS: dict[str, FieldType] = {
    "topic": "tag",
    "rank": "tag",
    "labels": "tag",
    "year": "numeric",
    "note": "text",
}

HOSTILE = [
    "",
    " ",
    "*",
    "a*",
    "|",
    "a|b",
    "{a}",
    "}=>[KNN 1 @_embedding $vector]",
    '"quoted"',
    "it's",
    "\\",
    "a,b;c",
    "@topic:{x}",
    "-a",
    "(a) | (b)",
    "Ünïcode ☃",
    "日本語",
    "line\nbreak\0null",
    "_any",
    "_z",
    "A",
    "a",
    "x" * 400,
]


def where(key: str, operator: FilterOperator, value: Any = None) -> MetadataFilter:
    return MetadataFilter(key=key, operator=operator, value=value)


def every(*filters: MetadataFilter | MetadataFilters, by: str = "and") -> MetadataFilters:
    return MetadataFilters(filters=list(filters), condition=FilterCondition(by))


# One corpus: every combination of values that is worth a difference, and of missing ones.

CORPUS: dict[str, dict[str, Any]] = {
    f"n{number}": {key: value for key, value in zip(FIELDS, values, strict=True) if value != ...}
    for number, values in enumerate(
        [
            *zip(
                ["aws", "AWS", "a|b", "é*"],
                [1, 2, 1, -7],
                [["x"]] * 4,
                range(4),
                ["one"] * 4,
                strict=True,
            ),
            ("aws", 1, ["x", "y"], 2.5, "Blue-green deployment on ECS"),
            ("gcp", 2, ["y", "z"], -3, "deployment green blue"),
            ("gcp", 1, [], 2, "ÉCOLE one two"),
            ("azure", None, None, None, None),
            (..., ..., ..., ..., ...),
            ("aws", ..., ["x", "a|b", "é*"], 0, ...),
            (..., 3, ["z"], ..., "two one"),
        ]
    )
}

TOPICS = st.sampled_from(["aws", "AWS", "gcp", "a|b", "é*", "none such", "aw", ""])
RANKS = st.sampled_from([1, 2, 3, -7, 9])
LABELS = st.sampled_from(["x", "y", "z", "a|b", "é*", "none such"])
YEARS = st.sampled_from([-3, 0, 1, 2, 2.5, 2.0, 3, 100, -0.5])
# Single words: a phrase beside other text has a test of its own.
WORDS = st.sampled_from(["one", "ONE", "green", "blue", "école", "deploy", "two", ""])


def _some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, max_size=3)


def _floats(values: list[Any]) -> list[float]:
    return [float(value) for value in values]


COMPARISONS: list[tuple[str, list[FilterOperator], st.SearchStrategy[Any]]] = [
    ("topic", [Op.EQ, Op.NE], TOPICS),
    ("topic", [Op.IN, Op.NIN], _some(TOPICS)),
    ("rank", [Op.EQ, Op.NE], RANKS),
    ("rank", [Op.IN, Op.NIN], _some(RANKS)),
    ("labels", [Op.CONTAINS], LABELS),
    ("labels", [Op.ANY], _some(LABELS)),
    ("labels", [Op.ALL], st.lists(LABELS, min_size=1, max_size=3)),
    ("year", [Op.EQ, Op.NE, Op.GT, Op.GTE, Op.LT, Op.LTE], YEARS),
    ("year", [Op.IN, Op.NIN], _some(YEARS).map(_floats)),
    ("note", [Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE], WORDS),
    *((name, [Op.IS_EMPTY], st.none()) for name in FIELDS),
]
comparisons = st.one_of(
    *(
        st.builds(where, st.just(key), st.sampled_from(operators), values)
        for key, operators, values in COMPARISONS
    )
)
conditions = st.sampled_from([*FilterCondition, None])
flat = st.builds(MetadataFilters, filters=st.lists(comparisons, max_size=3), condition=conditions)
groups = st.recursive(
    flat,
    lambda inner: st.builds(
        MetadataFilters,
        filters=st.lists(comparisons | inner, min_size=1, max_size=3),
        condition=conditions,
    ),
    max_leaves=4,
)

searches = settings(
    max_examples=15,
    deadline=None,
    # The store of an example is that of the test; examples only read it.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def corpus(make_side: Callable[..., Side]) -> Side:
    """A store with every node of the corpus."""
    side = make_side(metadata_fields=FIELDS)
    side.add([node(name, [1.0, 0.0], **metadata) for name, metadata in CORPUS.items()])
    return side


@pytest.fixture
def store(make_store: MakeStore) -> ValkeyVectorStore:
    """The same, for what is decided before the server is asked."""
    return make_store(metadata_fields=FIELDS, dimension=2)


def expected(filters: MetadataFilters) -> list[str]:
    return sorted(name for name, metadata in CORPUS.items() if satisfies(metadata, filters))


def queried(side: Side, **query: Any) -> list[str]:
    found = side.query(VectorStoreQuery([1.0, 0.0], similarity_top_k=100, **query))
    return sorted(found.ids)


# Against the oracle


@given(filters=flat)
def test_the_oracle_reads_flat_filters_as_llama_index_does(filters: MetadataFilters) -> None:
    asked = (one.operator for one in filters.filters if isinstance(one, MetadataFilter))
    if any(one in (Op.TEXT_MATCH, Op.TEXT_MATCH_INSENSITIVE) for one in asked):
        return
    decide = build_metadata_filter_fn(CORPUS.__getitem__, filters)
    assert expected(filters) == sorted(filter(decide, CORPUS))


@searches
@given(filters=groups)
def test_get_nodes_agrees_with_the_oracle(corpus: Side, filters: MetadataFilters) -> None:
    assert ids(corpus.get_nodes(filters=filters)) == expected(filters)


@searches
@given(filters=groups)
def test_a_query_agrees_with_the_oracle(corpus: Side, filters: MetadataFilters) -> None:
    assert queried(corpus, filters=filters) == expected(filters)


@pytest.mark.parametrize("condition", [*FilterCondition, None])
def test_every_operator_under_every_condition(
    corpus: Side, condition: FilterCondition | None
) -> None:
    examples = [
        where("topic", Op.EQ, "aws"),
        where("topic", Op.NE, "aws"),
        where("rank", Op.IN, [1, -7]),
        where("rank", Op.NIN, [1, -7]),
        where("year", Op.GT, 1),
        where("year", Op.GTE, 2),
        where("year", Op.LT, 2),
        where("year", Op.LTE, 2.5),
        where("labels", Op.CONTAINS, "x"),
        where("labels", Op.ANY, ["y", "z"]),
        where("labels", Op.ALL, ["x", "y"]),
        where("note", Op.TEXT_MATCH, "green deployment"),
        where("note", Op.TEXT_MATCH_INSENSITIVE, "ONE"),
        where("labels", Op.IS_EMPTY),
    ]
    assert {one.operator for one in examples} == set(FilterOperator)
    for one in examples:
        filters = MetadataFilters(filters=[one, where("topic", Op.EQ, "gcp")], condition=condition)
        assert ids(corpus.get_nodes(filters=filters)) == expected(filters), one


def test_groups_nest(corpus: Side) -> None:
    aws, gcp = where("topic", Op.EQ, "aws"), where("topic", Op.EQ, "gcp")
    first = where("rank", Op.EQ, 1)
    for outer, inner in product(FilterCondition, FilterCondition):
        filters = every(every(aws, gcp, by=inner), first, by=outer)
        assert queried(corpus, filters=filters) == expected(filters), (outer, inner)


def test_an_empty_group_within_another_is_always_true(corpus: Side) -> None:
    aws = where("topic", Op.EQ, "aws")
    assert queried(corpus, filters=every(aws, every())) == expected(every(aws))
    assert queried(corpus, filters=every(aws, every(), by="or")) == sorted(CORPUS)
    assert queried(corpus, filters=every(every(), by="not")) == []


# Where LlamaIndex's own store says nothing, or something else


def test_a_comparison_with_none_asks_whether_the_field_is_missing(corpus: Side) -> None:
    missing = sorted(name for name, found in CORPUS.items() if found.get("topic") is None)
    present = sorted(set(CORPUS) - set(missing))
    assert queried(corpus, filters=every(where("topic", Op.EQ))) == missing
    assert queried(corpus, filters=every(where("topic", Op.NE))) == present


def test_a_tag_that_is_a_list_equals_each_of_its_values(corpus: Side) -> None:
    having = sorted(name for name, found in CORPUS.items() if "y" in (found.get("labels") or ()))
    assert queried(corpus, filters=every(where("labels", Op.EQ, "y"))) == having
    assert queried(corpus, filters=every(where("labels", Op.IN, ["y"]))) == having
    without = sorted(set(CORPUS) - set(having))
    assert queried(corpus, filters=every(where("labels", Op.NE, "y"))) == without
    assert queried(corpus, filters=every(where("labels", Op.NIN, ["y"]))) == without


def test_tags_are_compared_with_their_type(make_side: Callable[..., Side]) -> None:
    side = make_side(metadata_fields={"flag": "tag"})
    values: dict[str, Any] = {"text": "1", "number": 1, "true": True, "word": "true"}
    side.add([node(name, [1.0, 0.0], flag=value) for name, value in values.items()])
    assert queried(side, filters=every(where("flag", Op.EQ, "1"))) == ["text"]
    assert queried(side, filters=every(where("flag", Op.EQ, 1))) == ["number"]
    assert queried(side, filters=every(where("flag", Op.EQ, "true"))) == ["word"]


PHRASES = ["two one", "blue green", "GREEN Deployment", "one two", "école one", "one two one"]


@pytest.mark.parametrize("phrase", PHRASES)
def test_phrases(corpus: Side, phrase: str) -> None:
    alone = where("note", Op.TEXT_MATCH, phrase)
    gcp = where("topic", Op.EQ, "gcp")
    for filters in (
        every(alone),
        every(alone, gcp),
        every(alone, gcp, by="or"),
        every(alone, gcp, by="not"),
    ):
        assert ids(corpus.get_nodes(filters=filters)) == expected(filters), filters
        assert queried(corpus, filters=filters) == expected(filters), filters


@pytest.mark.parametrize("words", ["one", "two", "two one", "TWO"])
def test_a_phrase_beside_other_words_of_its_field(corpus: Side, words: str) -> None:
    phrase, other = where("note", Op.TEXT_MATCH, "two one"), where("note", Op.TEXT_MATCH, words)
    for filters in (every(phrase, other), every(other, phrase), every(every(phrase), other)):
        assert ids(corpus.get_nodes(filters=filters)) == expected(filters) == ["n10"]
        assert queried(corpus, filters=filters) == ["n10"]


# Hostile values


@pytest.fixture
def hostile(make_side: Callable[..., Side]) -> Side:
    side = make_side(metadata_fields={"topic": "tag", "labels": "tag"})
    side.add(
        [
            node(f"n{number}", [1.0, 0.0], topic=value, labels=[value, "shared"])
            for number, value in enumerate(HOSTILE)
        ]
    )
    return side


def test_a_hostile_value_matches_itself_alone(hostile: Side) -> None:
    names = [f"n{number}" for number in range(len(HOSTILE))]
    for name, value in zip(names, HOSTILE, strict=True):
        others = sorted(set(names) - {name})
        assert queried(hostile, filters=every(where("topic", Op.EQ, value))) == [name], value
        assert queried(hostile, filters=every(where("topic", Op.NE, value))) == others, value
        both = every(where("labels", Op.ALL, ["shared", value]))
        assert ids(hostile.get_nodes(filters=both)) == [name], value


def test_hostile_values_in_a_list(hostile: Side) -> None:
    some = HOSTILE[::2]
    wanted = sorted(f"n{number}" for number in range(0, len(HOSTILE), 2))
    assert queried(hostile, filters=every(where("topic", Op.IN, some))) == wanted
    assert queried(hostile, filters=every(where("labels", Op.ANY, some))) == wanted
    assert queried(hostile, filters=every(where("topic", Op.NIN, HOSTILE))) == []


@searches
@given(value=st.text(max_size=8))
def test_no_value_widens_a_filter(hostile: Side, value: str) -> None:
    wanted = [f"n{number}" for number, one in enumerate(HOSTILE) if one == value]
    assert queried(hostile, filters=every(where("topic", Op.EQ, value))) == wanted


def test_hostile_words_match_no_more_than_their_words(corpus: Side) -> None:
    for words in ('"', "*", "@note:one", "one | two", "%one%", "-one", "(one)"):
        filters = every(where("note", Op.TEXT_MATCH, words))
        assert queried(corpus, filters=filters) == expected(filters), words


# Nothing to filter by


@pytest.mark.parametrize("filters", [None, every(), every(by="or"), every(by="not")])
def test_no_filters_filter_nothing(corpus: Side, filters: MetadataFilters | None) -> None:
    assert queried(corpus, filters=filters) == sorted(CORPUS)
    assert ids(corpus.get_nodes(filters=filters)) == sorted(CORPUS)


def test_an_empty_list_of_documents_matches_nothing(corpus: Side) -> None:
    assert queried(corpus, doc_ids=[]) == []


def test_an_empty_list_of_values_matches_nothing(corpus: Side) -> None:
    assert queried(corpus, filters=every(where("topic", Op.IN, []))) == []
    assert queried(corpus, filters=every(where("labels", Op.ANY, []))) == []
    assert queried(corpus, filters=every(where("topic", Op.NIN, []))) == sorted(CORPUS)


# What cannot be served

REFUSED: list[tuple[MetadataFilter, str]] = [
    (where("colour", Op.EQ, "red"), r"'colour' is not declared.*\"colour\": \"tag\""),
    (where("colour", Op.GT, 5), r"'colour' is not declared.*\"colour\": \"numeric\""),
    (where("colour", Op.TEXT_MATCH, "red"), r"'colour' is not declared.*\"colour\": \"text\""),
    (where("colour", Op.CONTAINS, "red"), r"'colour' is not declared.*\"colour\": \"tag\""),
    (where("colour", Op.IS_EMPTY), "'colour' is not declared"),
    (where("topic", Op.EQ, 1.5), "'topic' is a tag: .* not float"),
    (where("topic", Op.GT, "a"), "'topic' is declared as tag, which has no operator 'gt'"),
    (where("topic", Op.TEXT_MATCH, "a"), "'topic' is declared as tag, .* 'phrase'"),
    (where("topic", Op.IN, "aws"), "'topic': give a list of values, not 'aws'"),
    (where("topic", Op.NIN, "aws"), "'topic': give a list of values, not 'aws'"),
    (where("labels", Op.ANY, "x"), "'labels': give a list of values, not 'x'"),
    (where("labels", Op.ALL, None), "'labels': give a list of values, not None"),
    (where("topic", Op.EQ, ["aws"]), "'topic' is a tag: .* not list"),
    (where("year", Op.EQ, "2026"), "'year' is numeric: .* not str"),
    (where("year", Op.GTE, None), "'year' is numeric: .* not NoneType"),
    (where("year", Op.IN, ["1"]), "'year' is numeric: .* not str"),
    (where("year", Op.IN, 5), "'year': give a list of numbers, not 5"),
    (where("year", Op.CONTAINS, 5), "'contains' asks a list of tags; 'year' is numeric"),
    (where("year", Op.ANY, ["1"]), "'year' is declared as numeric, which has no operator 'any'"),
    (where("year", Op.GT, float("nan")), "'year' cannot be compared with NaN"),
    (where("year", Op.EQ, 2**53 + 1), r"'year': .* is beyond 2\*\*53"),
    (where("note", Op.EQ, "one"), "'note' is declared as text, which has no operator 'eq'"),
    (where("note", Op.GT, 5), "'note' is declared as text, which has no operator 'gt'"),
    (where("note", Op.CONTAINS, "one"), "'contains' asks a list of tags; 'note' is text"),
    (where("note", Op.TEXT_MATCH, 5), "'note' is a text: compare it with a string, not 5"),
]


@pytest.mark.parametrize(("bad", "message"), REFUSED)
def test_what_cannot_be_served_is_refused(bad: MetadataFilter, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        to_condition(every(bad), FIELDS)


@pytest.mark.parametrize("condition", FilterCondition)
def test_one_bad_filter_refuses_the_whole(condition: FilterCondition) -> None:
    good, bad = where("topic", Op.EQ, "aws"), where("colour", Op.EQ, "red")
    nested = every(good, every(good, bad, by=condition), by=condition)
    with pytest.raises(FilterError, match="'colour' is not declared"):
        to_condition(nested, FIELDS)


def test_every_method_refuses_before_it_asks_the_server(unreachable: Side) -> None:
    filters = every(where("colour", Op.EQ, "red"))
    for call in (
        lambda: queried(unreachable, filters=filters),
        lambda: unreachable.get_nodes(filters=filters),
        lambda: unreachable.get_nodes(node_ids=["n0"], filters=filters),
        lambda: unreachable.delete_nodes(filters=filters),
    ):
        with pytest.raises(FilterError, match="'colour' is not declared"):
            call()


@pytest.fixture
def unreachable(is_async: bool) -> Side:
    """A store whose server is not there."""
    store = ValkeyVectorStore(url="valkey://127.0.0.1:1", metadata_fields=FIELDS, dimension=2)
    return Side(store, is_async=is_async)


def test_a_filter_too_large_for_the_server_is_refused(
    make_side: Callable[..., Side], backend: str
) -> None:
    side = make_side(metadata_fields=FIELDS)
    side.add([node("n0", [1.0, 0.0], topic="t0")])
    filters = every(where("topic", Op.IN, [f"t{number}" for number in range(2_000)]))
    if backend == "exact":
        assert queried(side, filters=filters) == ["n0"]
    else:
        with pytest.raises(FilterError, match="Split long lists of values"):
            queried(side, filters=filters)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("topic", 1.5, "'topic' is a tag"),
        ("topic", {"a": 1}, "'topic' is a tag"),
        ("year", "2026", "'year' is numeric"),
        ("note", 5, "'note' is a text"),
    ],
)
def test_metadata_of_another_type_than_declared_is_refused(
    make_side: Callable[..., Side], field: str, value: Any, message: str
) -> None:
    side = make_side(metadata_fields=FIELDS)
    good = node("good", [1.0, 0.0])
    with pytest.raises(DocumentError, match=f"document 'bad': {message}"):
        side.add([good, node("bad", [1.0, 0.0], **{field: value})])
    assert side.get_nodes() == []
