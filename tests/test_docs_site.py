"""The pages of docs/: their code runs, their tables are true, and they build without a warning."""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import llama_index.core
import pytest
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters

import langchain_valkey_glide
import langgraph_valkey_glide
import llama_index_valkey_glide
import valkey_memory
from llama_index_valkey_glide._nodes import to_condition
from valkey_memory import Filter, Numeric, Tag, Text
from valkey_memory._filters.dicts import to_filter
from valkey_memory._filters.expressions import And, FieldType, Not, Or
from valkey_memory._messages import values as _wire
from valkey_memory._server import settings as _settings

from .test_documentation import ROOT, blocks, fresh_embedded_server

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
RUN_ELSEWHERE = DOCS / "cli.md"  # by test_cli_page.py
PACKAGES = (
    valkey_memory,
    langchain_valkey_glide,
    langgraph_valkey_glide,
    llama_index_valkey_glide,
)

__all__ = ["fresh_embedded_server"]  # a fixture; it runs for the tests here, too


def name(page: Path) -> str:
    return str(page.relative_to(DOCS))


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the table of ``page`` whose header begins with ``first``."""
    lines = iter((DOCS / page).read_text().splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    found: list[list[str]] = []
    for line in lines:
        if not line.startswith("|"):
            return found
        found.append([cell.strip() for cell in line.split("|")[1:-1]])
    return found


def code(cell: str) -> list[str]:
    """Code in a cell; a pipe would end the cell, so such code is written in HTML."""
    return re.findall(r"`([^`]+)`", re.sub("</?code>", "`", html.unescape(cell)))


# Code


WITH_CODE = [page for page in PAGES if blocks(page, "python") and page != RUN_ELSEWHERE]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_runs(
    page: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The blocks of a page, in order, in one namespace; what a comment promises is printed."""
    vocabulary = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(vocabulary))  # nothing is downloaded
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, block in enumerate(blocks(page, "python"), 1):
        exec(compile(block, f"{page}, Python block {number}", "exec"), namespace)  # noqa: S102
        printed = capsys.readouterr().out
        for promised in [*promises(block), shown_behind(page, block)]:
            assert promised in printed, f"{page}, Python block {number}"


def shown_behind(page: Path, block: str) -> str:
    """The output that the page shows behind a block, if it does."""
    _, _, rest = page.read_text().partition(f"```python\n{block}```\n\n")
    found = re.match(r"```text\n(.*?)^```", rest, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def promises(block: str) -> list[str]:
    """Outputs that stand behind ``print(...)``, as far as they are literals or ``...`` and text."""
    found = []
    for comment in re.findall(r"^ *print\(.*\)  # (.+)$", block, re.MULTILINE):
        if comment.startswith("... "):
            found.append(comment.removeprefix("... "))
            continue
        for end in (comment, *(comment.rpartition(mark)[0] for mark in ("; ", ": ", ", "))):
            try:
                value = ast.literal_eval(end)
            except (SyntaxError, ValueError):
                continue
            found.append(str(value))
            break
    return found


def test_promises_are_found() -> None:
    block = "print(a)  # ['1']\nprint(b)  # 2, from it\nprint(c)  # None: why\nprint(d)  # ... x."
    assert promises(block) == ["['1']", "2", "None", "x."]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_exist(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    makefile = (ROOT / "Makefile").read_text()
    for command in blocks(page, "(?:sh|console)"):
        for group in re.findall(r"valkey-glide-memory\[([a-z,-]+)\]", command):
            assert set(group.split(",")) <= extras["optional-dependencies"].keys()
        for target in re.findall(r"make ([a-z-]+)", command):
            assert f"\n{target}:" in makefile
        for script in re.findall(r"python (\S+\.py)", command):
            saved = f"Save this as `{script}`" in page.read_text()
            assert saved or (ROOT / script).is_file()


# Tables


def test_url_options_are_those_of_the_parser() -> None:
    assert [code(row[0])[0] for row in rows("reference/settings.md", "option")] == list(
        _settings._OPTIONS
    )
    assert [code(row[0])[0] for row in rows("reference/settings.md", "strategy")] == list(
        _settings.READ_FROM
    )
    schemes = [word for row in rows("reference/settings.md", "scheme") for word in code(row[0])]
    assert {word.partition("://")[0] for word in schemes} == {
        *_settings._TLS_OF_SCHEME,
        _settings._EMBEDDED,
    }


def test_url_defaults_are_those_of_the_settings() -> None:
    defaults = {option: str(getattr(_settings.Settings(), option)) for option in _settings._OPTIONS}
    shown = {code(row[0])[0]: row[2].strip("`") for row in rows("reference/settings.md", "option")}
    assert float(shown["request_timeout"]) == float(defaults["request_timeout"])
    assert float(shown["connection_timeout"]) == float(defaults["connection_timeout"])
    assert shown["read_from"] == defaults["read_from"]
    assert defaults["cluster"] == defaults["client_az"] == defaults["client_name"] == "None"


def test_tags_are_those_of_the_wire_format() -> None:
    shown = [tag for row in rows("concepts/wire-format.md", "tag") for tag in code(row[0])]
    assert sorted(shown) == sorted({"dict", *_wire._DECODERS, *_wire._CONTAINER_DECODERS})


FIELDS: dict[str, FieldType] = {
    "user": "tag",
    "topics": "tag",
    "year": "numeric",
    "content": "text",
}
DIALECTS = rows("concepts/filters.md", "meaning")
NAMES = {
    "Tag": Tag,
    "Numeric": Numeric,
    "Text": Text,
    "MetadataFilter": MetadataFilter,
    "MetadataFilters": MetadataFilters,
}


@pytest.mark.parametrize("row", DIALECTS, ids=lambda row: row[0])
def test_dialects_mean_the_same(row: list[str]) -> None:
    _, expression, dictionary, llama_index = row
    meant = simplified(eval(code(expression)[0], NAMES))  # noqa: S307
    from_dict = to_filter(ast.literal_eval(code(dictionary)[0]), FIELDS)
    assert from_dict is not None
    assert simplified(from_dict) == meant
    if llama_index.startswith("`MetadataFilter"):
        filters = eval(code(llama_index)[0], NAMES)  # noqa: S307
        if isinstance(filters, MetadataFilter):
            filters = MetadataFilters(filters=[filters])
        condition = to_condition(filters, FIELDS)
        assert condition is not None
        assert simplified(condition) == meant


def simplified(condition: Filter) -> Filter:
    """``condition`` without an "and" or "or" of one operand."""
    if isinstance(condition, Not):
        return Not(simplified(condition.operand))
    if isinstance(condition, (And, Or)):
        operands = tuple(map(simplified, condition.operands))
        return operands[0] if len(operands) == 1 else type(condition)(operands)
    return condition


def test_lines_of_the_decision_table_run() -> None:
    page = "concepts/which-memory.md"
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(DOCS / page, "python"):
        exec(block, namespace)  # noqa: S102
    for row in rows(page, "situation"):
        for line in code(row[2]):
            if "(" in line:
                assert eval(line, namespace), line  # noqa: S307


# The built site


class Page(HTMLParser):
    """What a built page links to, and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag != "a":
            self.loads += [given[key] for key in ("href", "src", "srcset", "data") if key in given]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` does; a warning fails the build."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(folder)]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


@pytest.mark.slow
def test_every_page_is_built(pages: dict[Path, Page], site: Path) -> None:
    built = {str(path.relative_to(site).with_suffix("")) for path in pages}
    assert built == {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}


@pytest.mark.slow
def test_links_inside_lead_somewhere(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target = target / "index.html"
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and not parts.fragment.startswith("__"):
                assert unquote(parts.fragment) in pages[target].ids, f"{path.name}: {link}"


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    for path, page in pages.items():
        outside = [
            found
            for found in page.loads
            if re.match(r"(?:[a-z]+:)?//", found) and not found.startswith("data:")
        ]
        assert outside == [], path.name
    for style in site.rglob("*.css"):
        found = re.findall(
            r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)""", style.read_text()
        )
        assert found == [], style.name


@pytest.mark.slow
@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_on_its_page(pages: dict[Path, Page], package: Any) -> None:
    documented = set().union(*(page.ids for page in pages.values()))
    names = {f"{package.__name__}.{public}" for public in package.__all__}
    assert names - documented == set()


@pytest.mark.slow
def test_methods_are_documented(pages: dict[Path, Page]) -> None:
    documented = set().union(*(page.ids for page in pages.values()))
    assert documented >= {
        "valkey_memory.MessageStore.extend",
        "valkey_memory.ValkeyConnection.from_url",
        "valkey_memory.VectorIndex.search",
        "langchain_valkey_glide.ValkeyChatMessageHistory.aadd_messages",
        "langchain_valkey_glide.ValkeyVectorStore.similarity_search_with_score",
        "llama_index_valkey_glide.ValkeyDBChatStore.archive_oldest_messages",
        "llama_index_valkey_glide.ValkeyVectorStore.query",
    }
