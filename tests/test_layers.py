"""Rules of the layout: who may import whom, what a missing extra says, faces that agree."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

import langchain_valkey_glide
import langgraph_valkey_glide
import llama_index_valkey_glide
import valkey_memory
from valkey_memory import adapters
from valkey_memory.adapters import ConversationStore

ROOT = Path(__file__).parent.parent
CORE = ROOT / "valkey_memory"
FACES = ("langchain_valkey_glide", "langgraph_valkey_glide", "llama_index_valkey_glide")
PACKAGES = ("valkey_memory", *FACES)
FRAMEWORKS = {"langchain", "langchain_core", "langchain_aws", "llama_index", "langgraph"}
MODULES = sorted(path for name in PACKAGES for path in (ROOT / name).glob("**/*.py"))
CORE_MODULES = [path for path in MODULES if path.is_relative_to(CORE)]

FLOORS = (
    {
        *("_errors", "_secrets", "_interrupts", "_arguments"),
        *("_keys", "_plans", "_attempts", "_together"),
    },
    {"_server", "_messages", "_filters", "_models"},
    {"_conversations", "_vectors", "_checkpoints", "_runs"},
    {"_memory", "_items", "_caches"},
    {"adapters", "_cli"},
)
"""The rooms of the core. A room stands on those below it, and not on its neighbours; the ground is
one room."""
GROUND = "ground"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@functools.cache
def imports(path: Path) -> tuple[tuple[str, str], ...]:
    """Absolute module and name of everything that a module imports; no name is ``""``."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package.pop()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


@functools.cache
def core_names() -> frozenset[str]:
    return frozenset(module_name(path) for path in CORE_MODULES)


def imported_packages(path: Path) -> set[str]:
    return {module.partition(".")[0] for module, _ in imports(path)}


def imported_modules(path: Path) -> set[str]:
    """The modules of the core that a module imports, those that it takes by name among them."""
    known = core_names()
    found = set()
    for module, name in imports(path):
        found.add(f"{module}.{name}" if f"{module}.{name}" in known else module)
    return found & known


def room(module: str) -> str:
    """The room of a module of the core: ``ground``, ``_server``, ..., or ``""`` for the package."""
    name = [*module.split("."), ""][1]
    return GROUND if name in FLOORS[0] else name


def floor(name: str) -> int:
    if name == GROUND:
        return 0
    return next((number for number, rooms in enumerate(FLOORS) if name in rooms), len(FLOORS))


# Rule 1: arrows go down


@pytest.mark.parametrize("path", CORE_MODULES, ids=named)
def test_arrows_go_down(path: Path) -> None:
    own = room(module_name(path))
    for module in imported_modules(path):
        other = room(module)
        if own == "_cli" and not other:
            continue  # a command may use what users use
        assert other == own or floor(other) < floor(own), f"{own or 'the package'} -> {module}"


def test_every_room_has_its_floor() -> None:
    rooms = {room(module_name(path)) for path in CORE_MODULES} - {""}
    assert all(floor(name) < len(FLOORS) for name in rooms)


def test_there_is_no_circle() -> None:
    below = {module_name(path): imported_modules(path) for path in CORE_MODULES}
    # A room's __init__ is its caption, and imports nothing.
    sorter = graphlib.TopologicalSorter(
        {module: found - {module} for module, found in below.items()}
    )
    sorter.prepare()


# Rule 2: no framework in the core; faces use one door


@pytest.mark.parametrize("path", CORE_MODULES, ids=named)
def test_the_core_imports_no_framework(path: Path) -> None:
    assert not imported_packages(path) & (FRAMEWORKS | set(FACES))


@pytest.mark.parametrize("face", FACES)
def test_faces_use_one_door(face: str) -> None:
    for path in (ROOT / face).glob("**/*.py"):
        for module, name in imports(path):
            if module.partition(".")[0] == "valkey_memory":
                public = {
                    "valkey_memory": valkey_memory.__all__,
                    "valkey_memory.adapters": adapters.__all__,
                }
                assert name in public.get(module, ()), f"{path}: from {module} import {name}"


def test_the_door_lets_no_storage_out() -> None:
    assert not {"Plan", "Request", "Scan", "Change", "atomic", "change_plan"} & set(
        adapters.__all__
    )
    assert not [name for name in adapters.__all__ if name.startswith("_")]


@pytest.mark.parametrize("path", [*MODULES], ids=named)
def test_commands_and_scripts_stand_in_the_core(path: Path) -> None:
    """Faces and the command line hold no command words and no Lua."""
    core = path.is_relative_to(CORE) and not path.is_relative_to(CORE / "_cli")
    if not core:
        strings = {
            node.value
            for node in ast.walk(tree(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not [one for one in strings if "redis.call" in one or COMMAND.fullmatch(one)]


COMMAND = re.compile(r"EVAL|(FT|JSON|L|R|H|X|P)\.?(LEN|PUSH|POP|RANGE|TTL|EXPIRE|SET|GET|SEARCH)")


@pytest.mark.parametrize(
    ("face", "others"),
    [
        ("langchain_valkey_glide", {"llama_index", "llama_index_valkey_glide"}),
        ("langgraph_valkey_glide", {"langchain_valkey_glide", "langchain", "llama_index"}),
        ("llama_index_valkey_glide", {"langchain_valkey_glide", "langgraph_valkey_glide"}),
    ],
)
def test_faces_know_only_their_framework(face: str, others: set[str]) -> None:
    for path in ROOT.glob(f"{face}/**/*.py"):
        assert not imported_packages(path) & others


# Rule 3: GLIDE, and what server errors say, in one room


@pytest.mark.parametrize("path", CORE_MODULES, ids=named)
def test_glide_is_known_to_the_server_room_only(path: Path) -> None:
    if room(module_name(path)) == "_server":
        return
    assert not imported_packages(path) & {"glide", "glide_sync", "glide_shared"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.In, ast.NotIn)):
            text = ast.unparse(node.comparators[0])
            assert not re.match(r"(str\(\w*(error|reply|failure)|text\.lower)", text), text


# Rule 4: what begins with an underscore stays in its room


@functools.cache
def own_names(path: Path) -> frozenset[str]:
    """The underscore names that a module's code defines: functions, classes, attributes."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    return frozenset(name for name in found if name.startswith("_"))


PRIVATE = {
    name: frozenset().union(*(own_names(p) for p in CORE_MODULES if room(module_name(p)) == name))
    for name in {room(module_name(path)) for path in CORE_MODULES}
}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_no_private_name_crosses_a_room(path: Path) -> None:
    own = room(module_name(path)) if path.is_relative_to(CORE) else path.parent.name
    for module, name in imports(path):
        if module.startswith("valkey_memory") and room(module) != own:
            is_module = f"{module}.{name}" in core_names()
            assert is_module or not name.startswith("_"), f"{module}.{name}"
    here = PRIVATE.get(own, frozenset()).union(*(own_names(p) for p in path.parent.glob("*.py")))
    elsewhere = frozenset().union(*(names for name, names in PRIVATE.items() if name != own)) - here
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
            is_module = node.attr in FLOORS[0]
            assert is_module or node.attr not in elsewhere, f"line {node.lineno}: {node.attr}"


# Rule 5: modules of one concept, tests that mirror them


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_tests_mirror_the_rooms() -> None:
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir()}
    rooms = {room(module_name(path)).removeprefix("_") for path in CORE_MODULES} - {"", "adapters"}
    assert rooms <= folders


# Plans are recognisable by name


def returns_a_plan(node: ast.AST) -> bool:
    return (
        isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.returns is not None
        and ast.unparse(node.returns).startswith("Plan[")
    )


@pytest.mark.parametrize("path", CORE_MODULES, ids=named)
def test_a_plan_is_recognisable_and_never_forgotten(path: Path) -> None:
    """Functions that return one end with ``_plan``; a bare call of one would do nothing."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree(path)):
        if isinstance(node, functions):
            assert node.name.endswith("_plan") == returns_a_plan(node), node.name
        call = node.value if isinstance(node, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, (ast.Name, ast.Attribute)):
            name = call.func.id if isinstance(call.func, ast.Name) else call.func.attr
            assert not name.endswith("_plan"), f"line {call.lineno}: {name} without yield from"


# Public names


@pytest.mark.parametrize("package", [importlib.import_module(name) for name in PACKAGES])
def test_public_names_stand_in_their_package(package: ModuleType) -> None:
    for name in package.__all__:
        assert getattr(package, name).__module__ == package.__name__, name


@pytest.mark.parametrize(
    "thing",
    [
        valkey_memory.ValkeyConnection.from_url("valkey://localhost:1"),
        valkey_memory.Document("1", "text", {}, [1.0]),
        valkey_memory.CorruptMessageError("chat:s", 1, "no JSON"),
        valkey_memory.BulkWriteError("stopped", ["1"], ["2"], ["3"]),
        llama_index_valkey_glide.ValkeyChatStore(url="valkey://localhost:1"),
        llama_index_valkey_glide.ValkeyDBChatStore(url="valkey://localhost:1"),
        llama_index_valkey_glide.ValkeyVectorStore("nodes", url="valkey://localhost:1"),
        valkey_memory.VectorIndex("notes", url="valkey://localhost:1", fields={"a": "tag"}, ttl=5),
        langgraph_valkey_glide.ValkeySaver(url="valkey://localhost:1", ttl=5),
        langgraph_valkey_glide.ValkeyStore(url="valkey://localhost:1", ttl={"default_ttl": 5}),
        valkey_memory.ToolCache(url="valkey://localhost:1", ttl=5),
        valkey_memory.RunLog(url="valkey://localhost:1", ttl=5),
        langchain_valkey_glide.ValkeyToolCacheMiddleware(["search"], url="valkey://localhost:1"),
        langchain_valkey_glide.ValkeyRunLogger(url="valkey://localhost:1", payloads=False),
        langchain_valkey_glide.ValkeyVectorStore(
            DeterministicFakeEmbedding(size=4), "notes", url="valkey://localhost:1"
        ),
        langchain_valkey_glide.ValkeyMemoryMiddleware(None, url="valkey://localhost:1"),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_a_pickle_names_what_is_public(thing: object) -> None:
    pickled = pickle.dumps(thing)
    assert not re.search(rb"_(memory|glide)\._", pickled)
    assert type(pickle.loads(pickled)) is type(thing)  # noqa: S301 - our own


def test_a_face_can_be_derived_from() -> None:
    """Pydantic looks up the annotations of a base class in its module."""

    class Mine(llama_index_valkey_glide.ValkeyChatStore):
        note: str = "mine"

    store = Mine(url="valkey://localhost:1", ttl=5)
    assert (store.note, store.ttl) == ("mine", 5)


# What users meet


@pytest.mark.parametrize(
    ("face", "framework", "extra"),
    [
        ("langchain_valkey_glide", "langchain_core", "langchain"),
        ("langgraph_valkey_glide", "langgraph.checkpoint.base", "langgraph"),
        ("llama_index_valkey_glide", "llama_index.core", "llama-index"),
    ],
)
def test_a_missing_extra_is_named(face: str, framework: str, extra: str) -> None:
    code = f"import sys; sys.modules[{framework!r}] = None; import {face}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert f"pip install 'valkey-glide-memory[{extra}]'" in done.stderr


@pytest.mark.parametrize("name", list(langchain_valkey_glide._LAZY))
def test_what_needs_langchain_itself_says_so(name: str) -> None:
    """The package goes without it, and these say what they lack."""
    code = (
        f"import sys; sys.modules['langchain.agents'] = None; import {FACES[0]}; {FACES[0]}.{name}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "pip install 'valkey-glide-memory[agents]'" in done.stderr


PUBLIC = [
    getattr(package, name)
    for package in (
        valkey_memory,
        langchain_valkey_glide,
        langgraph_valkey_glide,
        llama_index_valkey_glide,
    )
    for name in package.__all__
]


@pytest.mark.parametrize("thing", PUBLIC, ids=lambda t: t.__name__)
def test_everything_public_is_described(thing: Any) -> None:
    assert inspect.getdoc(thing)
    for name, member in vars(thing).items():
        if not name.startswith("_") and inspect.isfunction(member):
            assert inspect.getdoc(member), f"{thing.__name__}.{name}"


def twins(cls: type) -> list[tuple[str, Any, Any]]:
    return [
        (name, member, getattr(cls, f"a{name}"))
        for name, member in inspect.getmembers(cls, inspect.isfunction)
        if not name.startswith("_") and hasattr(cls, f"a{name}")
    ]


@pytest.mark.parametrize(
    ("cls", "at_least"),
    [
        (ConversationStore, 19),
        (valkey_memory.ConversationMemory, 9),
        (valkey_memory.ToolCache, 3),
        (langchain_valkey_glide.ValkeyChatMemory, 3),
        (langchain_valkey_glide.ValkeyChatMessageHistory, 5),
        (langgraph_valkey_glide.ValkeySaver, 10),
        (langgraph_valkey_glide.ValkeyStore, 7),
        (llama_index_valkey_glide.ValkeyMemory, 6),
        (llama_index_valkey_glide.ValkeyChatStore, 6),
    ],
)
def test_sync_and_async_faces_agree(cls: type, at_least: int) -> None:
    pairs = twins(cls)
    assert len(pairs) >= at_least
    for name, sync, is_async in pairs:
        expected = str(inspect.signature(sync)).replace("-> 'Iterator", "-> 'AsyncIterator")
        assert str(inspect.signature(is_async)) == expected, name
        assert inspect.iscoroutinefunction(is_async) or inspect.isasyncgenfunction(is_async), name


def test_every_store_method_has_an_async_twin() -> None:
    for name, member in inspect.getmembers(ConversationStore, inspect.isfunction):
        if not name.startswith("_") and not inspect.iscoroutinefunction(member):
            sends_nothing = name == "key"
            assert sends_nothing or hasattr(ConversationStore, f"a{name}"), name
