"""The code in README and docstrings, run as it stands."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import langchain_valkey_glide
import langgraph_valkey_glide
import llama_index_valkey_glide
import valkey_memory
from valkey_memory._server import connection as _connection

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def fresh_embedded_server() -> Iterator[None]:
    """Each example starts with an empty ``embedded://``, as in a process of its own."""
    yield
    for url in [url for url in _connection._shared if url.startswith("embedded://")]:
        _connection._shared.pop(url).close()


def modules() -> Iterator[ModuleType]:
    packages = (
        valkey_memory,
        langchain_valkey_glide,
        langgraph_valkey_glide,
        llama_index_valkey_glide,
    )
    for package in packages:
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def examples() -> Iterator[doctest.DocTest]:
    """Of modules as deep as they lie, and of the public classes, whose module is their package."""
    finder = doctest.DocTestFinder()
    for module in modules():
        yield from finder.find(module, module.__name__)
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            # A class may stand in a room below: the finder would take it for an imported one.
            yield from finder.find(thing, f"{module.__name__}.{name}")


EXAMPLES = {test.name: test for test in examples() if test.examples}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_docstrings(name: str) -> None:
    results = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(EXAMPLES[name])
    assert results.attempted > 0
    assert results.failed == 0


def test_the_main_classes_have_an_example() -> None:
    documented = {name.rpartition(".")[2] for name in EXAMPLES}
    assert documented >= {
        "EmbeddedValkey",
        "MessageStore",
        "ValkeyChatMessageHistory",
        "ValkeyChatStore",
        "ValkeyConnection",
        "ValkeyDBChatStore",
    }


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


README = blocks(ROOT / "README.md", "python")


@pytest.mark.parametrize("number", range(len(README)))
def test_readme(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    code = compile(README[number], f"README.md, Python block {number + 1}", "exec")
    exec(code, {"__name__": "__main__"})  # noqa: S102 - our own README
    assert "Error" not in capsys.readouterr().out


def test_readme_has_examples_for_each_face() -> None:
    text = "\n".join(README)
    for face in ("ValkeyChatMessageHistory", "ValkeyChatStore", "ValkeyDBChatStore"):
        assert face in text


def test_readme_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()):
        if command not in ("the",):
            assert f"\n{command}:" in makefile, command
