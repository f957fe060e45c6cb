"""The contract of VectorIndex, on every way to store and search, in both faces."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from valkey_memory import FilterError, InvalidArgumentError, ValkeyConnection
from valkey_memory._errors import DocumentError
from valkey_memory._filters.expressions import Numeric, Tag, Text
from valkey_memory._keys import changes_key
from valkey_memory._vectors import limits, server
from valkey_memory._vectors.documents import Document

from ..search_server import send
from .conftest import INDEX, OTHER_INDEX
from .documents import QUERY, diverse, doc, ids, score, vector

real_search = pytest.mark.real_search


def key_ttl(connection: ValkeyConnection, document_id: str) -> int:
    found: int = send(connection, "PTTL", f"{INDEX}:{document_id}")
    return found


# The index


def test_create_attaches_to_what_is_there(make_index: Any, backend: str) -> None:
    mode = "exact" if backend == "exact" else "server"
    first, second = make_index(), make_index()
    assert first.store.mode is None
    assert first.create() == first.create() == second.create() == mode
    assert second.store.mode == mode
    first.upsert([doc(1)])
    assert ids(second.search(QUERY)) == ["d1"]


def test_the_first_use_creates_the_index(index: Any) -> None:
    assert index.count() == 0


def test_an_empty_index(index: Any) -> None:
    assert index.search(QUERY) == index.search(QUERY, filter={"year": 1}) == []
    assert index.search_diverse(QUERY) == []
    assert index.page() == index.page(order_by="year") == []
    assert index.get(["a"]) == index.get([]) == []
    assert index.count() == index.delete(["a"]) == index.delete([]) == index.delete_where(None) == 0
    index.upsert([])


def test_info_describes_the_index(index: Any, backend: str) -> None:
    index.upsert([doc(1), doc(2)])
    info = index.info()
    if backend == "exact":
        assert info is None
        return
    assert (info.name, info.prefixes, info.dimension) == (INDEX, (f"{INDEX}:",), 4)
    assert (info.documents, info.failures, info.metric) == (2, 0, "cosine")
    assert info.storage == ("json" if backend == "json" else "hash")
    assert (info.algorithm, info.ef_runtime) == (
        ("flat", 0) if backend == "flat-hash" else ("hnsw", 100)
    )
    declared = {"user_id": "tag", "labels": "tag", "year": "numeric", "content": "text"}
    assert info.fields == {**declared, "_has": "tag"}


def test_drop_takes_the_documents_along_if_asked(make_index: Any, backend: str) -> None:
    index = make_index()
    index.upsert([doc(number) for number in range(5)])
    assert index.drop(delete_documents=True) is True
    assert index.store.mode is None
    assert make_index().get(["d1"]) == []
    assert make_index().count() == 0


def test_drop_leaves_nothing_behind(
    make_index: Any, vector_connection: ValkeyConnection, backend: str
) -> None:
    index = make_index()
    assert index.drop() is index.drop(delete_documents=True) is False  # and makes none
    if backend != "exact":
        assert vector_connection.run(server.probe_plan(index.store.plans.schema)) is None
    index.upsert([doc(1), doc(2)])
    assert index.drop(delete_documents=True) is True
    keys = (f"{INDEX}:d1", f"{INDEX}:d2", changes_key(INDEX))
    assert send(vector_connection, "EXISTS", *keys) == 0


def test_a_copy_learns_of_a_drop(make_index: Any, backend: str) -> None:
    """It reads changes from a stream that is dropped with the documents, and begins anew."""
    index, other = make_index(), make_index()
    index.upsert([doc(1), doc(2)])
    assert other.count() == 2
    index.drop(delete_documents=True)
    if backend == "exact":
        assert other.count() == 0
    index.upsert([doc(3)])
    assert ids(other.search(QUERY)) == ["d3"]


@real_search()
def test_drop_of_what_another_object_dropped(make_index: Any, backend: str) -> None:
    index, other = make_index(), make_index()
    index.upsert([doc(number) for number in range(3)])
    assert other.count() == 3
    index.drop(delete_documents=True)
    assert other.drop(delete_documents=True) is False
    assert make_index().count() == 0


@real_search()
def test_drop_leaves_the_documents_to_a_new_index(make_index: Any, backend: str) -> None:
    index = make_index()
    index.upsert([doc(number, user_id="alice") for number in range(20)])
    assert index.drop() is (backend != "exact")
    again = make_index()
    assert again.wait_until_ready() is True
    assert again.count({"user_id": "alice"}) == len(again.search(QUERY, 50)) == 20


@real_search()
def test_wait_until_ready_says_yes_at_once_when_it_is(index: Any) -> None:
    index.upsert([doc(1)])
    assert index.wait_until_ready() is True


def test_two_indexes_do_not_see_each_other(make_index: Any) -> None:
    one, other = make_index(), make_index(OTHER_INDEX)
    one.upsert([doc(1)])
    other.upsert([doc(2)])
    assert ids(one.search(QUERY)) == ids(one.page()) == ["d1"]
    assert ids(other.search(QUERY)) == ids(other.page()) == ["d2"]
    assert other.delete_where(None) == 1
    assert one.count() == 1


# Writing and reading back


def test_documents_come_back_as_they_were(index: Any) -> None:
    first = doc(1, "Blue-green on ECS", user_id="alice", year=2026)
    second = doc(2, "", user_id="bob")
    index.upsert([first, second])
    bare = [Document(d.id, d.content, d.metadata) for d in (first, second)]
    assert index.get(["d2", "unknown", "d1", "d2"]) == [bare[1], bare[0]]
    assert [hit.document for hit in index.search(first.embedding)] == bare
    assert sorted(index.page(), key=lambda d: d.id) == bare


def test_embeddings_come_back_equal_as_float32(make_index: Any) -> None:
    index = make_index(dimension=6)
    numbers = [0.1, -1 / 3, 1e-20, 1e18, 16_777_217.0, -0.0]
    expected = np.array(numbers, dtype=np.float32).tolist()
    index.upsert([Document("a", "x", {}, numbers)])
    query = [1.0] * 6
    for found in (
        index.get(["a"], embeddings=True)[0],
        index.page(embeddings=True)[0],
        index.search(query, embeddings=True)[0].document,
        index.search_diverse(query, embeddings=True)[0].document,
    ):
        assert list(found.embedding) == expected
    assert list(index.get(["a"])[0].embedding) == []
    assert list(index.search_diverse(query)[0].document.embedding) == []


@pytest.mark.parametrize(
    "values",
    [np.array([1, 2, 3, 4], dtype=np.int64), (1, 2.0, 3, 4), np.array([1.0, 2, 3, 4])],
    ids=["integers", "tuple", "doubles"],
)
@pytest.mark.same_commands
def test_a_vector_may_be_an_array_or_a_tuple(index: Any, values: Any) -> None:
    index.create()
    plain = [float(value) for value in values]
    assert index.search(values) == index.search(plain) == []


METADATA = {
    "int": 7,
    "big": 2**63 - 1,
    "negative": -(2**63),
    "float": 7.0,
    "small": 5e-324,
    "true": True,
    "false": False,
    "none": None,
    "empty": "",
    "text": "a\"b'c\\d\ne\tf\x00g é 漢字 🙂 {x} @y:[1 2] | => *",
    "list": [1, 2.5, "x", None, [True, {}]],
    "dict": {"a": {"b": [{"c": None}]}, "": 0},
    "a key with spaces, dots.and $": 1,
}


def test_metadata_keeps_its_types(index: Any) -> None:
    index.upsert([Document("a", "x", METADATA, vector(1))])
    for found in (index.get(["a"])[0], index.page()[0], index.search(vector(1))[0].document):
        assert found.metadata == METADATA
        assert [type(value) for value in found.metadata.values()] == [
            type(value) for value in METADATA.values()
        ]


CONTENT = 'She said "hi" \\ \'there\'\r\n\t\x01 {"json": [1]} é 漢字 🙂 $.content * | => {}'


def test_content_is_any_text(index: Any) -> None:
    index.upsert([Document("a", CONTENT, {}, vector(1)), Document("b", "", {}, vector(2))])
    assert [document.content for document in index.get(["a", "b"])] == [CONTENT, ""]
    assert {document.content for document in index.page()} == {CONTENT, ""}
    assert index.search(vector(1), 1)[0].document.content == CONTENT


HOSTILE_IDS = [
    "a b",
    "a:b",
    "{x}",
    "}{",
    "{}",
    "é漢🙂",
    "*",
    "a\nb",
    '"',
    "\\",
    "vmtest:1",
    "0",
    "%7B",
]


def test_ids_are_any_text(index: Any) -> None:
    index.upsert([Document(one, one, {}, vector(n)) for n, one in enumerate(HOSTILE_IDS)])
    assert sorted(ids(index.search(QUERY, 50))) == sorted(HOSTILE_IDS)
    assert sorted(ids(index.page())) == sorted(HOSTILE_IDS)
    assert ids(index.get(HOSTILE_IDS)) == HOSTILE_IDS
    assert [document.content for document in index.get(HOSTILE_IDS)] == HOSTILE_IDS
    assert index.delete(HOSTILE_IDS[:3]) == 3
    assert index.delete_where(None) == len(HOSTILE_IDS) - 3
    assert index.count() == 0


OWN_NAMES = ["content", "id", "embedding", "_content", "_metadata", "_embedding", "_has", "tags"]


def test_metadata_keys_overwrite_nothing(index: Any) -> None:
    metadata = {name: f"mine: {name}" for name in [*OWN_NAMES, "tags.user_id", "_score", "score"]}
    document = Document("a", "the text", {**metadata, "user_id": "alice"}, vector(1))
    index.upsert([document])
    hit = index.search(vector(1), 1, filter={"user_id": "alice"}, embeddings=True)[0]
    assert hit.document == document
    assert hit.score == pytest.approx(1)
    assert index.count({"content": "text"}) == 1
    assert index.count({"content": "mine"}) == 0


def test_upsert_replaces_the_whole_document(index: Any) -> None:
    old = {"user_id": "alice", "labels": ["a", "b"], "year": 2025, "other": 1}
    index.upsert([Document("a", "old words", old, [1, 0, 0, 0])])
    index.upsert([Document("a", "new", {"labels": ["b"], "note": "x"}, [0, 1, 0, 0])])
    assert index.get(["a"], embeddings=True) == [
        Document("a", "new", {"labels": ["b"], "note": "x"}, [0.0, 1.0, 0.0, 0.0])
    ]
    gone = [Tag("user_id") == "alice", Tag("labels") == "a", Numeric("year") == 2025]
    gone += [Text("content").matches("old"), Tag("user_id").exists(), Numeric("year").exists()]
    for condition in gone:
        assert index.count(condition) == 0, condition
    assert index.count(Tag("labels") == "b") == index.count({"content": "new"}) == 1
    assert index.search([0, 1, 0, 0])[0].score == pytest.approx(1)
    assert index.count() == 1


def test_a_document_can_lose_all_its_declared_fields(index: Any) -> None:
    index.upsert([doc(1, user_id="alice", year=1)])
    index.upsert([doc(1, "")])
    assert index.count(Tag("user_id").exists() | Numeric("year").exists()) == 0
    assert index.count({"content": {"$exists": True}}) == 0
    assert ids(index.search(QUERY)) == ["d1"]


def test_upsert_keeps_a_ttl_that_a_hash_has(
    index: Any, vector_connection: ValkeyConnection, backend: str
) -> None:
    index.upsert([doc(1)])
    assert key_ttl(vector_connection, "d1") == -1
    send(vector_connection, "PEXPIRE", f"{INDEX}:d1", "600000")
    index.upsert([doc(1, "again")])
    left = key_ttl(vector_connection, "d1")
    assert left == -1 if backend == "json" else 0 < left <= 600_000


def test_the_ttl_option(make_index: Any, vector_connection: ValkeyConnection) -> None:
    index = make_index(ttl=60)
    index.upsert([doc(1)])
    assert 0 < key_ttl(vector_connection, "d1") <= 60_000
    send(vector_connection, "PEXPIRE", f"{INDEX}:d1", "600000")
    index.search(QUERY)
    assert key_ttl(vector_connection, "d1") > 60_000
    index.upsert([doc(1)])
    assert key_ttl(vector_connection, "d1") <= 60_000


@pytest.mark.parametrize("default", [None, 60])
def test_the_ttl_of_some_documents(
    make_index: Any, vector_connection: ValkeyConnection, default: int | None
) -> None:
    index = make_index(ttl=default)
    index.upsert([doc(1), doc(2)], ttl=timedelta(minutes=10))
    index.upsert([doc(3)])
    for one in ("d1", "d2"):
        assert 60_000 < key_ttl(vector_connection, one) <= 600_000
    assert key_ttl(vector_connection, "d3") <= (60_000 if default else -1)
    with pytest.raises(InvalidArgumentError, match="ttl must be more than 0 seconds"):
        index.upsert([doc(1)], ttl=0)


def test_a_search_refreshes_the_ttl_of_what_it_finds_if_asked(
    make_index: Any, vector_connection: ValkeyConnection
) -> None:
    index = make_index(ttl=60, refresh_ttl_on_read=True)
    index.upsert([doc(1), doc(2)])
    for one in ("d1", "d2"):
        send(vector_connection, "PEXPIRE", f"{INDEX}:{one}", "600000")
    assert ids(index.search(vector(2), 1)) == ["d2"]
    assert key_ttl(vector_connection, "d2") <= 60_000 < key_ttl(vector_connection, "d1")


def test_documents_go_in_batches_and_progress_tells(
    index: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BATCH_DOCUMENTS", 2)
    steps: list[tuple[int, int]] = []
    index.upsert(
        (doc(number) for number in range(5)), progress=lambda done, of: steps.append((done, of))
    )
    assert steps == [(2, 5), (4, 5), (5, 5)]
    assert index.count() == 5


def test_batches_are_limited_in_bytes(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BATCH_BYTES", 1_000)
    steps: list[int] = []
    large = [doc(number, "x" * 600) for number in range(3)]
    index.upsert([*large, doc(3), doc(4)], progress=lambda done, _: steps.append(done))
    assert steps[:2] == [1, 2]
    assert steps[-1] == index.count() == 5


def test_an_id_twice_in_one_call_writes_nothing(index: Any) -> None:
    with pytest.raises(DocumentError, match="'d2' occurs twice"):
        index.upsert([doc(1), doc(2), doc(3), doc(2)])
    assert index.count() == 0


def test_delete_says_how_many_there_were(index: Any) -> None:
    index.upsert([doc(number) for number in range(4)])
    assert index.delete(["d0", "d1", "unknown", "d1"]) == 2
    assert index.delete(["d0"]) == 0
    assert sorted(ids(index.search(QUERY))) == sorted(ids(index.page())) == ["d2", "d3"]
    assert index.get(["d0", "d2"]) == index.get(["d2"])


def test_reading_goes_in_parts(index: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "READ_DOCUMENTS", 2)
    index.upsert([doc(number) for number in range(5)])
    wanted = ["d4", "d0", "d3", "d1", "d2"]
    assert ids(index.get(wanted)) == wanted


def test_delete_where_removes_what_satisfies_the_filter(index: Any) -> None:
    index.upsert([doc(n, user_id="alice" if n % 4 else "bob") for n in range(12)])
    assert index.delete_where({"user_id": "carol"}) == 0
    assert index.delete_where({"user_id": "alice"}) == 9
    assert sorted(ids(index.page())) == ["d0", "d4", "d8"]
    assert index.delete_where(Tag("user_id") == "bob") == 3
    assert index.count() == 0


@real_search()
@pytest.mark.parametrize("page", [1, 3, 9, 12])
def test_delete_where_goes_page_by_page(
    index: Any, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    monkeypatch.setattr(limits, "PAGE", page)
    index.upsert([doc(n, user_id="alice" if n % 4 else "bob") for n in range(12)])
    assert index.delete_where({"user_id": "alice"}) == 9
    assert sorted(ids(index.page())) == ["d0", "d4", "d8"]


@real_search()
def test_delete_where_beyond_a_thousand(index: Any) -> None:
    index.upsert([doc(n, user_id="alice" if n else "bob") for n in range(2_300)])
    assert index.count({"user_id": "alice"}) == 2_299
    assert index.delete_where({"user_id": "alice"}) == 2_299
    assert ids(index.page()) == ["d0"]
    assert index.delete_where(None) == 1


def test_count(index: Any) -> None:
    index.upsert([doc(n, user_id="alice" if n < 12 else "bob", year=n) for n in range(15)])
    assert index.count() == index.count({}) == 15
    assert index.count({"user_id": "alice"}) == 12
    assert index.count(Numeric("year") >= 5) == 10
    assert index.count({"user_id": "nobody"}) == 0


# Searching


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_scores_are_those_of_numpy_and_fall(make_index: Any, metric: str) -> None:
    index = make_index(metric=metric)
    documents = [doc(number) for number in range(12)]
    index.upsert(documents)
    hits = index.search(QUERY, 12)
    expected = {d.id: score(metric, QUERY, d.embedding) for d in documents}
    assert ids(hits) == sorted(expected, key=expected.__getitem__, reverse=True)
    assert [hit.score for hit in hits] == pytest.approx(
        [expected[one] for one in ids(hits)], abs=1e-5
    )


@pytest.mark.parametrize("metric", ["cosine", "l2", "ip"])
def test_zero_vectors(make_index: Any, metric: str) -> None:
    index = make_index(metric=metric)
    zero = [0.0] * 4
    index.upsert([Document("zero", "", {}, zero), Document("one", "", {}, [1, 0, 0, 0])])
    for query in (zero, [1.0, 0, 0, 0]):
        found = {hit.document.id: hit.score for hit in index.search(query)}
        assert found == pytest.approx(
            {
                "zero": score(metric, query, zero),
                "one": score(metric, query, [1, 0, 0, 0]),
            }
        )


def test_k_is_neither_cut_nor_filled(index: Any) -> None:
    index.upsert([doc(number) for number in range(15)])
    nearest = ids(index.search(QUERY, 15))
    assert len(set(nearest)) == 15
    for k in (1, 4, 11):
        assert ids(index.search(QUERY, k)) == nearest[:k]
    assert ids(index.search(QUERY)) == nearest[:4]
    assert ids(index.search(QUERY, 200)) == nearest


def test_min_score(index: Any) -> None:
    index.upsert([doc(number) for number in range(12)])
    hits = index.search(QUERY, 12)
    bound = (hits[4].score + hits[5].score) / 2
    assert ids(index.search(QUERY, 12, min_score=bound)) == ids(hits[:5])
    assert ids(index.search(QUERY, 2, min_score=bound)) == ids(hits[:2])
    assert index.search(QUERY, min_score=1.1) == []
    assert len(index.search(QUERY, 12, min_score=-1.01)) == 12


FILTERS = [
    (Tag("user_id") == "alice", {0, 2, 4, 6, 8, 10}),
    ({"user_id": "alice", "year": {"$gte": 6}}, {6, 8, 10}),
    ((Tag("user_id") == "bob") & ~(Numeric("year") < 6), {7, 9, 11}),
    ({"$or": [{"year": 1}, {"labels": "l2"}]}, {1, 2, 6, 10}),
    (Text("content").matches("number 5"), {5}),
    (Text("content").phrase("number 5"), {5}),
    (Text("content").matches("number") & (Tag("user_id") == "bob"), {1, 3, 5, 7, 9, 11}),
    ({"content": "5", "user_id": "alice"}, set()),
    ({"year": [1, 99]}, {1}),
    ({"user_id": []}, set()),
    ({}, set(range(12))),
    (None, set(range(12))),
]


@pytest.mark.parametrize(("condition", "expected"), FILTERS, ids=[f"f{i}" for i in range(12)])
def test_filters_apply_to_every_read(index: Any, condition: Any, expected: set[int]) -> None:
    index.upsert(
        [
            doc(
                n, f"Number {n}!", user_id="alice" if n % 2 == 0 else "bob", year=n,
                labels=[f"l{n % 4}", "all"],
            )
            for n in range(12)
        ]
    )  # fmt: skip
    wanted = {f"d{number}" for number in expected}
    nearest = [one for one in ids(index.search(QUERY, 12)) if one in wanted]
    assert ids(index.search(QUERY, 12, filter=condition)) == nearest
    assert ids(index.search(QUERY, 2, filter=condition)) == nearest[:2]
    assert set(ids(index.page(condition))) == wanted
    assert index.count(condition) == len(wanted)
    assert set(ids(index.search_diverse(QUERY, 12, filter=condition))) == wanted


@pytest.mark.parametrize("lambda_mult", [0.0, 0.25, 0.5, 1.0])
def test_diverse_search_is_maximal_marginal_relevance(index: Any, lambda_mult: float) -> None:
    documents = [doc(number) for number in range(12)]
    index.upsert(documents)
    nearest = ids(index.search(QUERY, 12))
    by_id = {document.id: document for document in documents}
    for k, fetch_k in ((4, 12), (3, 5), (6, 2), (20, 30)):
        candidates = [by_id[one] for one in nearest[:fetch_k]]
        hits = index.search_diverse(QUERY, k, fetch_k=fetch_k, lambda_mult=lambda_mult)
        assert ids(hits) == diverse(QUERY, candidates, k, lambda_mult)
        scores = [score("cosine", QUERY, by_id[one].embedding) for one in ids(hits)]
        assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)


def test_variety_prefers_what_is_unlike(index: Any) -> None:
    near = [Document(f"near{n}", "", {}, [1, 0.01 * n, 0, 0]) for n in range(3)]
    index.upsert([*near, Document("apart", "", {}, [0.6, 0, 0.8, 0])])
    assert ids(index.search([1, 0, 0, 0], 2)) == ["near0", "near1"]
    hits = index.search_diverse([1, 0, 0, 0], 2, lambda_mult=0.4)
    assert ids(hits) == ["near0", "apart"]


# Pages


def test_pages_cover_everything_once(index: Any) -> None:
    index.upsert([doc(number) for number in range(11)])
    pages = [index.page(offset=offset, limit=4) for offset in (0, 4, 8, 12)]
    assert [len(page) for page in pages] == [4, 4, 3, 0]
    assert sorted(one for page in pages for one in ids(page)) == sorted(
        f"d{number}" for number in range(11)
    )


def test_pages_in_order_of_a_number(index: Any) -> None:
    years = [3, -1.5, 2025, 0, 1e9, 12, -7]
    documents = [doc(number, year=year) for number, year in enumerate(years)]
    index.upsert([*documents, doc(90), doc(91, year=None)])
    rising = [f"d{number}" for number in sorted(range(7), key=years.__getitem__)]
    assert ids(index.page(order_by="year")) == rising
    assert ids(index.page(order_by="year", descending=True)) == rising[::-1]
    assert ids(index.page(order_by="year", offset=2, limit=3)) == rising[2:5]
    positive = ids(index.page(Numeric("year") > 0, order_by="year", limit=2))
    assert positive == [one for one in rising if years[int(one[1:])] > 0][:2]


@pytest.mark.real_search  # 145 KB of replies would be too much to keep
def test_pages_in_order_of_equal_numbers(index: Any) -> None:
    index.upsert([doc(number, year=number // 20) for number in range(60)])
    rising = sorted(
        (f"d{number}" for number in range(60)), key=lambda one: (int(one[1:]) // 20, one)
    )
    for limit in (7, 20, 25):
        pages = [index.page(order_by="year", offset=at, limit=limit) for at in range(0, 70, limit)]
        assert [one for page in pages for one in ids(page)] == rising
    falling = [one for year in (2, 1, 0) for one in rising[20 * year :][:20]]
    pages = [
        index.page(order_by="year", offset=at, limit=9, descending=True) for at in range(0, 60, 9)
    ]
    assert [one for page in pages for one in ids(page)] == falling


def test_pages_are_long_enough_by_default(index: Any) -> None:
    index.upsert([doc(number) for number in range(25)])
    assert len(index.page()) == 25


@pytest.mark.parametrize("field", ["user_id", "content", "nothing"])
@pytest.mark.same_commands
def test_only_numbers_order_pages(index: Any, field: str) -> None:
    with pytest.raises(FilterError, match=f"order_by '{field}' must be .* numeric"):
        index.page(order_by=field)


# Arguments


WRONG_ARGUMENTS: dict[str, Any] = {
    "k zero": lambda i: i.search(QUERY, 0),
    "k a float": lambda i: i.search(QUERY, 2.0),
    "k None": lambda i: i.search(QUERY, None),
    "k a bool": lambda i: i.search(QUERY, True),
    "k None for variety": lambda i: i.search_diverse(QUERY, None),
    "fetch_k None": lambda i: i.search_diverse(QUERY, fetch_k=None),
    "fetch_k": lambda i: i.search_diverse(QUERY, fetch_k=0),
    "ef_runtime": lambda i: i.search(QUERY, ef_runtime=0),
    "lambda above": lambda i: i.search_diverse(QUERY, lambda_mult=1.1),
    "lambda below": lambda i: i.search_diverse(QUERY, lambda_mult=-0.1),
    "lambda NaN": lambda i: i.search_diverse(QUERY, lambda_mult=float("nan")),
    "lambda a string": lambda i: i.search_diverse(QUERY, lambda_mult="1"),
    "min_score NaN": lambda i: i.search(QUERY, min_score=float("nan")),
    "min_score a string": lambda i: i.search(QUERY, min_score="0.5"),
    "min_score a bool": lambda i: i.search(QUERY, min_score=True),
    "offset None": lambda i: i.page(offset=None),
    "limit None": lambda i: i.page(limit=None),
    "offset": lambda i: i.page(offset=-1),
    "limit": lambda i: i.page(limit=0),
    "ids of get": lambda i: i.get("d1"),
    "ids of delete": lambda i: i.delete("d1"),
    "no ids": lambda i: i.delete(None),
    "empty id": lambda i: i.get([""]),
    "id a number": lambda i: i.delete([1]),
    "query too short": lambda i: i.search([1.0]),
    "query of texts": lambda i: i.search(["a", "b", "c", "d"]),
    "query NaN": lambda i: i.search([1, 2, float("nan"), 4]),
    "query infinite": lambda i: i.search([1, 2, float("inf"), 4]),
}


@pytest.mark.parametrize("call", WRONG_ARGUMENTS.values(), ids=list(WRONG_ARGUMENTS))
@pytest.mark.same_commands
def test_wrong_arguments_are_refused_before_anything_is_sent(index: Any, call: Any) -> None:
    with pytest.raises((InvalidArgumentError, DocumentError)):
        call(index)
    assert index.store.mode is None
