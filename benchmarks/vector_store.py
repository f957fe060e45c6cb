"""How fast, how large and how exact the vector stores are, against langchain-aws and raw GLIDE.

    python benchmarks/vector_store.py [--quick] [--json FILE]

The server is that of ``VALKEY_TEST_URL``, or an embedded one with the modules of valkey-search and
valkey-json from ``VALKEY_MODULES_DIR`` or a usual folder. Without them only exact search is
measured. Contenders take turns on one server with the same vectors, so ratios mean something even
where the machine is noisy and absolute times do not. Needs langchain-aws and, for the recall on
real text, wordllama. Exits with 1 when a requirement is missed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import glide_sync
import numpy as np
import orjson
from _measure import Contender, Timing, Timings, measure
from _vector_data import (
    FIELDS,
    GROUPS,
    Matrix,
    Texts,
    VectorSet,
    clustered,
    in_group,
    nearest_scores,
    real_text,
    texts,
    uniform,
)
from langchain_aws.vectorstores import ValkeyVectorStore as PeerVectorStore
from langchain_core.embeddings import Embeddings
from rich.console import Console
from rich.table import Table

from langchain_valkey_glide import ValkeyVectorStore
from valkey_memory import Document, EmbeddedValkey, Tag, ValkeyConnection, VectorIndex

K = 10
M, EF_CONSTRUCTION, EF_RUNTIME = 16, 64, 100  # the library's defaults
PEER_EF_CONSTRUCTION = 200  # valkey-search's default; langchain-aws names no other
EFFORTS = (50, 100, 200, 400)
GROUP = 3
MODULE_FOLDERS = (
    os.environ.get("VALKEY_MODULES_DIR", ""),
    "/usr/local/lib/valkey/modules",
    "/usr/lib/valkey/modules",
)
BATCH_DOCUMENTS, BATCH_BYTES = 200, 4_000_000
TIMEOUT_MS = 30_000
WARM_UP = 10

HASH, JSON, PEER = "ours, HASH", "ours, JSON", "langchain-aws"
PEER_OUR_HNSW = "langchain-aws, EF_CONSTRUCTION as ours"
TEXT_FORM, ARRAY_FORM, NAIVE_FORM = "text", "array, shortest", "array, json.dumps"
FORMS = (TEXT_FORM, ARRAY_FORM, NAIVE_FORM)
EXACT, EXACT_FILTERED, PRODUCT = "exact", "exact, filtered", "product + trip"


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    sizes: tuple[tuple[int, int, int], ...]
    """Documents, numbers per vector, slices that they are inserted in."""
    form_documents: int
    queries: int
    recall_documents: int
    text_documents: int
    recall_queries: int
    exact_documents: int
    exact_rounds: int


FULL = Scale(((10_000, 384, 25), (2_000, 1_536, 10)), 1_000, 500, 10_000, 8_000, 200, 10_000, 60)
QUICK = Scale(((2_000, 384, 10), (600, 1_536, 6)), 300, 150, 2_000, 5_000, 60, 10_000, 20)


@dataclass(frozen=True)
class Requirement:
    """A measured number and its bound."""

    text: str
    value: float
    bound: float
    at_least: bool

    @property
    def ok(self) -> bool:
        return self.value >= self.bound if self.at_least else self.value <= self.bound


@dataclass
class Report:
    """Everything that was measured."""

    timings: dict[str, Timings] = field(default_factory=dict)
    cpu: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    memory: dict[str, dict[str, float]] = field(default_factory=dict)
    recall: list[dict[str, Any]] = field(default_factory=list)
    requirements: list[Requirement] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def require_ratio(
        self, text: str, one: tuple[str, str], other: tuple[str, str], bound: float, at_least: bool
    ) -> None:
        (job, name), (other_job, other_name) = one, other
        ratio = self.timings[job][name].ratio(self.timings[other_job][other_name])
        self.requirements.append(Requirement(text, ratio, bound, at_least))


class Precomputed(Embeddings):
    """Gives texts the vectors they came with, so that no embedding is timed."""

    def __init__(self) -> None:
        self.known: dict[str, list[float]] = {}

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self.known[text] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.known[text]


class Server:
    """The server, a raw client of it, and whatever is to be removed from it at the end."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = ValkeyConnection.from_url(url, request_timeout=TIMEOUT_MS / 1000)
        raw: Any = self.connection._factory.create_sync("measure")
        self.raw = raw
        modules = self.raw.custom_command(["INFO", "modules"]).decode()
        self.modules = {
            name: int(number)
            for name, number in re.findall(r"^module:name=(\w+),ver=(\d+)", modules, re.MULTILINE)
        }
        self._indexes: list[VectorIndex] = []
        self._prefix = f"benchmark-{os.getpid()}"

    @property
    def has_search(self) -> bool:
        return {"search", "json"} <= self.modules.keys()

    def describe(self) -> str:
        info = self.raw.custom_command(["INFO", "server"]).decode()
        found = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        parts = [f"valkey-server {found.get('valkey_version', found.get('redis_version'))}"]
        if number := self.modules.get("search"):
            parts.append(f"valkey-search {number >> 16}.{number >> 8 & 255}.{number & 255}")
        if number := self.modules.get("json"):
            parts.append(f"valkey-json {number // 10_000}.{number // 100 % 100}.{number % 100}")
        return ", ".join(parts)

    def cpu(self) -> np.ndarray[Any, Any]:
        """Seconds of processor time so far, all threads: this process's and the server's."""
        info = self.raw.custom_command(["INFO", "cpu"]).decode()
        used = re.findall(r"^used_cpu_(?:sys|user):([\d.]+)", info, re.MULTILINE)
        return np.array([time.process_time(), sum(map(float, used))])

    def name(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def remember(self, index: VectorIndex) -> VectorIndex:
        self._indexes.append(index)
        return index

    def close(self) -> None:
        for index in self._indexes:
            index.drop(delete_documents=True)
        self.connection.close()
        self.raw.close()


@contextmanager
def running_server() -> Iterator[tuple[Server, str]]:
    """The server, and how it was found."""
    with ExitStack() as stack:
        if url := os.environ.get("VALKEY_TEST_URL"):
            origin = "the server of VALKEY_TEST_URL"
        else:
            modules = _modules()
            url = stack.enter_context(EmbeddedValkey(modules=modules)).url
            origin = f"an embedded server with {'its' if modules else 'no'} modules"
        server = Server(url)
        stack.callback(server.close)
        yield server, origin


def _modules() -> list[Path]:
    for folder in filter(None, MODULE_FOLDERS):
        found = [
            next((path for name in names if (path := Path(folder, name)).exists()), None)
            for names in (("json.so", "libjson.so"), ("search.so", "libsearch.so"))
        ]
        if all(found):
            return [path for path in found if path]
    return []


# Inserting


def settle(server: Server, name: str, attribute: str, dimension: int) -> None:
    """Wait until what was written is indexed: the server indexes the writes of a transaction
    behind its reply, and before the next search."""
    server.raw.custom_command(
        ["FT.SEARCH", name, f"*=>[KNN 1 @{attribute} $vector]", "NOCONTENT", "LIMIT", "0", "1",
         "PARAMS", "2", "vector", np.ones(dimension, dtype=np.float32).tobytes()]
    )  # fmt: skip


def slices(stored: Matrix, size: int) -> Iterator[Texts]:
    return (texts(stored, first, first + size) for first in range(0, len(stored), size))


class Inserts:
    """One contender of an insert: every call stores the next slice."""

    def __init__(
        self,
        server: Server,
        name: str,
        stored: Matrix,
        number: int,
        insert: Callable[[Texts], object],
    ) -> None:
        self._server = server
        size = -(-len(stored) // number)
        self._slices = slices(stored, size)
        self._insert = insert
        self._next: Texts | None = None
        self._cpu = np.zeros(2)
        self._count = len(stored)
        self.contender = Contender[None](name, self._call, self._advance, size)

    def _advance(self) -> None:
        self._next = next(self._slices)

    def _call(self) -> None:
        assert self._next is not None
        before = self._server.cpu()
        self._insert(self._next)
        self._cpu += self._server.cpu() - before

    @property
    def cpu(self) -> dict[str, float]:
        """Seconds of processor time per document."""
        client, server = self._cpu / self._count
        return {"client": float(client), "server": float(server)}


class Stores:
    """The stores of one size: ours as HASH and as JSON, and langchain-aws'."""

    def __init__(self, server: Server, vectors: VectorSet) -> None:
        self.server = server
        self.dimension = vectors.stored.shape[1]
        self.embeddings = Precomputed()
        self.ours = {
            HASH: self._store("hash"),
            JSON: self._store("json"),
        }
        for store in self.ours.values():
            server.remember(store.index).create()
        self.peer = self._peer("peer", PEER_EF_CONSTRUCTION)
        self.peer_our_hnsw = self._peer("peer-our-hnsw", EF_CONSTRUCTION)

    def _store(self, storage: Any) -> ValkeyVectorStore:
        return ValkeyVectorStore(
            self.embeddings,
            self.server.name(f"{storage}-{self.dimension}"),
            connection=self.server.connection,
            storage=storage,
            search="server",
            metadata_fields=dict(FIELDS),
            dimension=self.dimension,
        )

    def _peer(self, name: str, ef_construction: int) -> PeerVectorStore:
        name = self.server.name(f"{name}-{self.dimension}")
        # With the same fields, M and EF_RUNTIME as ours. It cannot make an index itself: it does
        # not recognise the error that says there is none.
        self.server.raw.custom_command(
            ["FT.CREATE", name, "ON", "HASH", "PREFIX", "1", f"doc:{name}", "SCHEMA",
             "group", "TAG", "year", "NUMERIC", "content_vector", "VECTOR", "HNSW", "12",
             "TYPE", "FLOAT32", "DIM", str(self.dimension), "DISTANCE_METRIC", "COSINE",
             "M", str(M), "EF_CONSTRUCTION", str(ef_construction), "EF_RUNTIME", str(EF_RUNTIME)]
        )  # fmt: skip
        return PeerVectorStore(
            self.server.url, name, self.embeddings, cluster_mode=False, request_timeout=TIMEOUT_MS
        )

    def remove_peers(self) -> None:
        for peer in (self.peer, self.peer_our_hnsw):
            keys = self.server.raw.custom_command(["KEYS", f"{peer.key_prefix}:*"])
            self.server.raw.custom_command(["FT.DROPINDEX", peer.index_name])
            for first in range(0, len(keys), 1_000):
                self.server.raw.unlink(keys[first : first + 1_000])
            peer.client.close()

    def insert(
        self, vectors: VectorSet, number: int
    ) -> tuple[Timings, dict[str, dict[str, float]]]:
        def ours(store: ValkeyVectorStore) -> Callable[[Texts], object]:
            def insert(part: Texts) -> None:
                self.embeddings.known = dict(zip(part.texts, part.vectors, strict=True))
                store.add_texts(part.texts, part.metadatas, ids=part.ids)
                settle(self.server, store.index.name, "_embedding", self.dimension)

            return insert

        def theirs(peer: PeerVectorStore) -> Callable[[Texts], object]:
            def insert(part: Texts) -> None:
                peer.add_texts(part.texts, part.metadatas, embeddings=part.vectors)
                settle(self.server, peer.index_name, "content_vector", self.dimension)

            return insert

        jobs = {
            **{name: ours(store) for name, store in self.ours.items()},
            PEER_OUR_HNSW: theirs(self.peer_our_hnsw),
            PEER: theirs(self.peer),
        }
        inserts = [
            Inserts(self.server, name, vectors.stored, number, insert)
            for name, insert in jobs.items()
        ]
        timings = measure([one.contender for one in inserts], rounds=number - 1, calls=1)
        for store in self.ours.values():
            assert store.index.count() == len(vectors.stored)
        return timings, {one.contender.name: one.cpu for one in inserts}


# Searching


@dataclass(frozen=True)
class Searches:
    """One contender of a search: every call asks the next query."""

    name: str
    queries: Sequence[Any]
    search: Callable[[Any], Any]

    def timed(self, number: int) -> float:
        query = self.queries[number % len(self.queries)]
        start = time.perf_counter()
        self.search(query)
        return time.perf_counter() - start


def raw_search(server: Server, name: str, storage: str) -> Callable[[bytes], Any]:
    """FT.SEARCH with GLIDE alone, for what ours asks: text, metadata and score of the nearest."""
    returned = {
        "hash": ["3", "_content", "_metadata", "_score"],
        "json": ["7", "$.content", "AS", "_content", "$.metadata", "AS", "_metadata", "_score"],
    }[storage]
    query = f"*=>[KNN {K} @_embedding $vector AS _score]"

    def search(vector: bytes) -> Any:
        return server.raw.custom_command(
            ["FT.SEARCH", name, query, "RETURN", *returned, "LIMIT", "0", str(K),
             "PARAMS", "2", "vector", vector, "DIALECT", "2"]
        )  # fmt: skip

    return search


def search_jobs(stores: Stores, vectors: VectorSet, count: int) -> dict[str, Timings]:
    lists, encoded = vectors.queries.tolist(), [query.tobytes() for query in vectors.queries]
    jobs: dict[str, list[Searches]] = {}
    for storage, (name, store) in zip(("hash", "json"), stores.ours.items(), strict=True):
        index = store.index
        raw = raw_search(stores.server, index.name, storage)
        found = [hit.document.id for hit in index.search(lists[0], K)]
        keys = [key.decode().removeprefix(f"{index.name}:") for key in raw(encoded[0])[1]]
        assert found == keys, "raw GLIDE finds something else"
        jobs[name] = [
            Searches("VectorIndex", lists, lambda query, index=index: index.search(query, K)),
            Searches(
                "LangChain",
                lists,
                lambda query, store=store: store.similarity_search_by_vector(query, K),
            ),
            Searches("raw GLIDE", encoded, raw),
        ]
    jobs[PEER] = [
        Searches(PEER, lists, lambda query: stores.peer.similarity_search_by_vector(query, K))
    ]
    return _take_turns(jobs, count)


def _take_turns(jobs: dict[str, list[Searches]], count: int) -> dict[str, Timings]:
    """One query of each contender in turn, in an order drawn anew for every query: in a fixed one,
    the scheduler's time slices can fall on the same contender again and again."""
    found = {job: {one.name: Timing() for one in searches} for job, searches in jobs.items()}
    everyone = [(found[job][one.name], one) for job, searches in jobs.items() for one in searches]
    order = random.Random(0)  # noqa: S311
    gc.collect()
    gc.disable()
    for number in range(count + WARM_UP):
        order.shuffle(everyone)
        for timing, one in everyone:
            seconds = one.timed(number)
            if number >= WARM_UP:
                timing.rounds.append(seconds)
    gc.enable()
    return found


# The vector's form inside JSON


def encode(part: Texts, form: str) -> list[bytes]:
    """The documents as the library stores them, the vector in one of the forms."""
    encoded = []
    for text, metadata, vector in zip(part.texts, part.metadatas, part.vectors, strict=True):
        document: dict[str, Any] = {
            "content": text,
            "metadata": metadata,
            "tags": {"group": metadata["group"], "_has": "_any|group|year"},
            "numbers": {"year": metadata["year"]},
            "words": {},
        }
        if form == NAIVE_FORM:
            document["embedding"] = vector
            encoded.append(json.dumps(document).encode())
            continue
        single = np.asarray(vector, dtype=np.float32)
        shortest = orjson.dumps(single, option=orjson.OPT_SERIALIZE_NUMPY)
        document["embedding"] = (
            shortest.decode() if form == TEXT_FORM else orjson.Fragment(shortest)
        )
        encoded.append(orjson.dumps(document))
    return encoded


def write_json(server: Server, keys: Sequence[str], values: Sequence[bytes]) -> None:
    """JSON.SET in the batches that the library makes: 200 documents or 4 MB."""

    def send(batch: list[tuple[str, bytes]]) -> None:
        commands = glide_sync.Batch(is_atomic=True)
        for key, value in batch:
            commands.custom_command(["JSON.SET", key, "$", value])
        server.raw.exec(commands, True)

    batch: list[tuple[str, bytes]] = []
    size = 0
    for pair in zip(keys, values, strict=True):
        if batch and (len(batch) == BATCH_DOCUMENTS or size + len(pair[1]) > BATCH_BYTES):
            send(batch)
            batch, size = [], 0
        batch.append(pair)
        size += len(pair[1])
    send(batch)


def form_jobs(
    server: Server, vectors: VectorSet, scale: Scale
) -> tuple[dict[str, Timings], dict[str, float]]:
    """Insert and search with every form of the vector, and the bytes per document of each."""
    stored = vectors.stored[: scale.form_documents]
    number, dimension = 10, stored.shape[1]
    indexes = {
        form: server.remember(
            VectorIndex(
                server.name(f"form{position}-{dimension}"),
                dimension,
                connection=server.connection,
                fields=dict(FIELDS),  # type: ignore[arg-type]
                search="server",
            )
        )
        for position, form in enumerate(FORMS)
    }

    def insert(form: str) -> Callable[[Texts], None]:
        name = indexes[form].name

        def write(part: Texts) -> None:
            write_json(server, [f"{name}:{one}" for one in part.ids], encode(part, form))
            settle(server, name, "_embedding", dimension)

        return write

    for index in indexes.values():
        index.create()
    inserts = [Inserts(server, form, stored, number, insert(form)) for form in FORMS]
    inserted = measure([one.contender for one in inserts], rounds=number - 1, calls=1)
    for form, index in indexes.items():
        assert index.info().documents == len(stored), f"the form {form} was not indexed"
    encoded = [query.tobytes() for query in vectors.queries]
    searches = [
        Searches(form, encoded, raw_search(server, index.name, "json"))
        for form, index in indexes.items()
    ]
    searched = _take_turns({"forms": searches}, scale.queries // 2)["forms"]
    bytes_per_document = {
        form: memory_usage(server, index.name, len(stored)) for form, index in indexes.items()
    }
    return {"insert": inserted, "search": searched}, bytes_per_document


def memory_usage(server: Server, name: str, count: int) -> float:
    """Bytes of a document's key, the mean of a sample. The index's own memory is not in it."""
    sample = range(0, count, max(1, count // 200))
    return statistics.fmean(
        server.raw.custom_command(["MEMORY", "USAGE", f"{name}:note-{n}", "SAMPLES", "0"])
        for n in sample
    )


# Recall


def measure_recall(index: VectorIndex, vectors: VectorSet, report: Report) -> None:
    """Recall@10 and p50 at every effort, with and without a filter that one in ten passes."""
    count = len(vectors.stored)
    everything = np.ones(count, dtype=bool)
    for label, condition, among in (
        ("none", None, everything),
        (f"1 in {GROUPS}", Tag("group") == f"g{GROUP}", in_group(count, GROUP)),
    ):
        least = nearest_scores(vectors, K, among) - 1e-5  # ties, and float32 on the server
        found = dict.fromkeys(EFFORTS, 0)
        seconds: dict[int, list[float]] = {effort: [] for effort in EFFORTS}
        for query, bound in zip(vectors.queries.tolist(), least, strict=True):
            for effort in EFFORTS:
                start = time.perf_counter()
                hits = index.search(query, K, filter=condition, ef_runtime=effort)
                seconds[effort].append(time.perf_counter() - start)
                found[effort] += sum(hit.score >= float(bound) for hit in hits)
        report.recall += [
            {
                "vectors": vectors.name,
                "documents": count,
                "dimension": index.dimension,
                "filter": label,
                "ef_runtime": effort,
                "recall": found[effort] / (K * len(vectors.queries)),
                "p50": statistics.median(seconds[effort]),
            }
            for effort in EFFORTS
        ]


def stored_index(server: Server, vectors: VectorSet, search: Any = "server") -> VectorIndex:
    """An index with ``vectors`` in it."""
    dimension = vectors.stored.shape[1]
    index = server.remember(
        VectorIndex(
            server.name(f"{search}-{vectors.name.replace(' ', '-')}"),
            dimension,
            connection=server.connection,
            storage="hash",
            search=search,
            fields=dict(FIELDS),  # type: ignore[arg-type]
        )
    )
    for part in slices(vectors.stored, 1_000):
        parts = zip(part.ids, part.texts, part.metadatas, part.vectors, strict=True)
        index.upsert(Document(*one) for one in parts)
    return index


# Exact search


def exact_job(server: Server, scale: Scale) -> Timings:
    """The same query again and again, against what cannot be avoided of it."""
    vectors = clustered(scale.exact_documents, 384, 1)
    index = stored_index(server, vectors, "exact")
    (query,) = vectors.queries
    asked = query.tolist()
    index.search(asked, K)  # reads the documents
    condition = Tag("group") == f"g{GROUP}"

    def unavoidable() -> None:
        vectors.stored @ query
        server.raw.ping()

    contenders = [
        Contender(EXACT, lambda: index.search(asked, K)),
        Contender(EXACT_FILTERED, lambda: index.search(asked, K, filter=condition)),
        Contender(PRODUCT, unavoidable),
    ]
    return measure(contenders, rounds=scale.exact_rounds, calls=5)


# Everything


def measure_search_server(server: Server, scale: Scale, report: Report) -> None:
    """All that needs valkey-search."""
    for position, (count, dimension, number) in enumerate(scale.sizes):
        vectors = clustered(count, dimension, max(scale.queries, scale.recall_queries))
        size = f"{count:,} x {dimension:,}"
        stores = Stores(server, vectors)
        job = f"insert, {size}"
        report.timings[job], report.cpu[job] = stores.insert(vectors, number)
        for name, timings in search_jobs(stores, vectors, scale.queries).items():
            report.timings[f"search, {size}, {name}"] = timings
        forms, usage = form_jobs(server, vectors, scale)
        for form_job, timings in forms.items():
            report.timings[f"{form_job} by form, {scale.form_documents:,} x {dimension:,}"] = (
                timings
            )
        report.memory[f"{dimension:,} numbers"] = {
            **{
                name: memory_usage(server, store.index.name, count)
                for name, store in stores.ours.items()
            },
            **{f"JSON, {form}": value for form, value in usage.items()},
        }
        if position == 0:
            some = VectorSet(vectors.name, vectors.stored, vectors.queries[: scale.recall_queries])
            measure_recall(stores.ours[HASH].index, some, report)
        stores.remove_peers()
        require_speed(report, size)
        require_memory(report, f"{dimension:,} numbers")
    text = real_text(scale.text_documents, scale.recall_queries)
    if text is None:
        report.left_out.append("recall on real text: wordllama is not installed")
    for more in (text, uniform(scale.recall_documents, 384, scale.recall_queries)):
        if more is not None:
            measure_recall(stored_index(server, more), more, report)
    require_recall(report)


def require_speed(report: Report, size: str) -> None:
    insert = f"insert, {size}"
    for name, bound in ((HASH, 3), (JSON, 2)):
        text = f"insert {size}, {name}: at least {bound}x faster than {PEER}"
        report.require_ratio(text, (insert, PEER), (insert, name), bound, True)
    for name in (HASH, JSON):
        job = f"search, {size}, {name}"
        for face in ("VectorIndex", "LangChain"):
            text = f"search {size}, {name}, {face}: within 1.25x of raw GLIDE"
            report.require_ratio(text, (job, face), (job, "raw GLIDE"), 1.25, False)


def require_memory(report: Report, size: str) -> None:
    usage = report.memory[size]
    share = usage[JSON] / usage[f"JSON, {NAIVE_FORM}"]
    text = f"bytes per document, {size}: JSON at most 0.45 of naive JSON"
    report.requirements.append(Requirement(text, share, 0.45, False))


def require_recall(report: Report) -> None:
    report.requirements += [
        Requirement(
            f"recall@{K}, {row['vectors']}, filter {row['filter']}: at least 0.95",
            float(row["recall"]),
            0.95,
            True,
        )
        for row in report.recall
        if row["ef_runtime"] == EF_RUNTIME and row["vectors"] != "uniform random"
    ]


def require_exact(report: Report, job: str) -> None:
    text = f"{job}, repeated query: within 3x of the matrix product plus one round trip"
    report.require_ratio(text, (job, EXACT), (job, PRODUCT), 3, False)


# Showing


def as_text(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f} ms" if seconds >= 10e-3 else f"{seconds * 1e6:,.0f} us"


def show_timings(console: Console, report: Report) -> None:
    table = Table(title="Median time: per document inserted, per search of the 10 nearest")
    table.add_column("job")
    table.add_column("contender")
    table.add_column("time", justify="right")
    table.add_column("x the last", justify="right")
    for job, timings in report.timings.items():
        table.add_section()
        reference = list(timings.values())[-1].median
        for row, (name, timing) in enumerate(timings.items()):
            ratio = f"{timing.median / reference:.2f}"
            table.add_row("" if row else job, name, as_text(timing.median), ratio)
    console.print(table)


def show_cpu(console: Console, report: Report) -> None:
    table = Table(title="Processor time per document inserted, all threads")
    for heading in ("job", "contender"):
        table.add_column(heading)
    for heading in ("client", "server", "both"):
        table.add_column(heading, justify="right")
    for job, contenders in report.cpu.items():
        table.add_section()
        for row, (name, seconds) in enumerate(contenders.items()):
            parts = (*seconds.values(), sum(seconds.values()))
            table.add_row("" if row else job, name, *map(as_text, parts))
    console.print(table)


def show_memory(console: Console, report: Report) -> None:
    table = Table(title="Bytes per document (MEMORY USAGE of its key, without the index)")
    table.add_column("form")
    for size in report.memory:
        table.add_column(size, justify="right")
        table.add_column("of naive", justify="right")
    for form in next(iter(report.memory.values())):
        cells = []
        for usage in report.memory.values():
            share = usage[form] / usage[f"JSON, {NAIVE_FORM}"]
            cells += [f"{usage[form]:,.0f}", f"{share:.0%}"]
        table.add_row(form, *cells)
    console.print(table)


def show_recall(console: Console, report: Report) -> None:
    table = Table(title=f"Recall@{K} and p50 of HNSW, M {M}, EF_CONSTRUCTION {EF_CONSTRUCTION}")
    table.add_column("vectors")
    table.add_column("filter")
    for effort in EFFORTS:
        table.add_column(f"EF {effort}", justify="right")
    rows: dict[tuple[str, str], list[str]] = {}
    for row in report.recall:
        label = f"{row['vectors']}, {row['documents']:,} x {row['dimension']}"
        cells = rows.setdefault((label, row["filter"]), [])
        cells.append(f"{row['recall']:.3f}  {as_text(row['p50'])}")
    for (label, condition), cells in rows.items():
        if condition == "none":
            table.add_section()
        table.add_row(label if condition == "none" else "", condition, *cells)
    console.print(table)


def show(console: Console, report: Report) -> None:
    show_timings(console, report)
    if report.cpu:
        show_cpu(console, report)
    if report.memory:
        show_memory(console, report)
    if report.recall:
        show_recall(console, report)
    for item in report.requirements:
        verdict = "[green]ok    [/]" if item.ok else "[bold red]MISSED[/]"
        console.print(f"{verdict} {item.value:6.3f}  {item.text}", highlight=False, soft_wrap=True)
    for text in report.left_out:
        console.print(f"[yellow]left out[/] {text}", highlight=False, soft_wrap=True)


def environment() -> str:
    names = ("valkey-glide-sync", "langchain-core", "langchain-aws", "numpy")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {versions}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer documents and queries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    options = parser.parse_args()

    console = Console()
    started = time.perf_counter()
    scale = QUICK if options.quick else FULL
    report = Report()
    with running_server() as (server, origin):
        described = f"{server.describe()}: {origin}"
        console.print(described, style="dim", soft_wrap=True)
        if server.has_search:
            measure_search_server(server, scale, report)
        else:
            report.left_out.append(
                "inserts, searches on the server, bytes per document and recall: the server has "
                "no valkey-search and valkey-json. Set VALKEY_TEST_URL or VALKEY_MODULES_DIR"
            )
        job = f"exact search, {scale.exact_documents:,} x 384"
        report.timings[job] = exact_job(server, scale)
        require_exact(report, job)
    show(console, report)
    console.print(
        f"{environment()}; {time.perf_counter() - started:.0f} s", style="dim", soft_wrap=True
    )
    if options.json:
        found = {
            "server": described,
            "environment": environment(),
            "quick": options.quick,
            "seconds": {
                job: {name: timing.median for name, timing in timings.items()}
                for job, timings in report.timings.items()
            },
            "insert_cpu_seconds": report.cpu,
            "bytes_per_document": report.memory,
            "recall": report.recall,
            "requirements": [asdict(item) | {"ok": item.ok} for item in report.requirements],
            "left_out": report.left_out,
        }
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if all(item.ok for item in report.requirements) else 1


if __name__ == "__main__":
    sys.exit(main())
