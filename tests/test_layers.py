"""Rules of the layout: who may import whom, what a missing extra says, faces that agree."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import langchain_valkey_glide
import llama_index_valkey_glide
import valkey_memory
from valkey_memory._conversations.store import ConversationStore

ROOT = Path(__file__).parent.parent
PACKAGES = ("valkey_memory", "langchain_valkey_glide", "llama_index_valkey_glide")
FRAMEWORKS = {"langchain", "langchain_core", "langchain_aws", "llama_index"}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", sorted(ROOT.glob("valkey_memory/**/*.py")), ids=lambda p: p.name)
def test_the_core_imports_no_framework(path: Path) -> None:
    assert not imports(path) & (FRAMEWORKS | set(PACKAGES[1:]))


@pytest.mark.parametrize(
    ("face", "others"),
    [
        ("langchain_valkey_glide", {"llama_index", "llama_index_valkey_glide"}),
        ("llama_index_valkey_glide", {"langchain_valkey_glide"}),
    ],
)
def test_faces_know_only_their_framework(face: str, others: set[str]) -> None:
    for path in ROOT.glob(f"{face}/**/*.py"):
        assert not imports(path) & others


@pytest.mark.parametrize(
    ("face", "framework", "extra"),
    [
        ("langchain_valkey_glide", "langchain_core", "langchain"),
        ("llama_index_valkey_glide", "llama_index.core", "llama-index"),
    ],
)
def test_a_missing_extra_is_named(face: str, framework: str, extra: str) -> None:
    code = f"import sys; sys.modules[{framework!r}] = None; import {face}"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert f"pip install 'valkey-glide-memory[{extra}]'" in done.stderr


@pytest.mark.parametrize("path", [p for name in PACKAGES for p in (ROOT / name).glob("**/*.py")])
def test_modules_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600


PUBLIC = [
    getattr(package, name)
    for package in (valkey_memory, langchain_valkey_glide, llama_index_valkey_glide)
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
        (langchain_valkey_glide.ValkeyChatMessageHistory, 5),
        (llama_index_valkey_glide.ValkeyChatStore, 6),
    ],
)
def test_sync_and_async_faces_agree(cls: type, at_least: int) -> None:
    pairs = twins(cls)
    assert len(pairs) >= at_least
    for name, sync, is_async in pairs:
        assert inspect.signature(sync) == inspect.signature(is_async), name
        assert inspect.iscoroutinefunction(is_async), name


def test_every_store_method_has_an_async_twin() -> None:
    for name, member in inspect.getmembers(ConversationStore, inspect.isfunction):
        if not name.startswith("_") and not inspect.iscoroutinefunction(member):
            assert hasattr(ConversationStore, f"a{name}"), name
