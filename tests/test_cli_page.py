"""docs/cli.md: its commands run and print what it shows, and its tables are the commands'."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.main import get_command

from valkey_memory._cli.commands import app
from valkey_memory._memory import checks, stored_checks

from .test_docs_site import DOCS, code, rows
from .test_documentation import blocks

PAGE = DOCS / "cli.md"
ADVICE_PAGE = "how-to/server-settings.md"
"""What a program hears on its own, beside what doctor finds."""
MARK = "== block"
COMMON = {"--url", "--key-prefix", "--timeout", "--json"}


@dataclass(frozen=True)
class Shell:
    """A block of commands, and the output that stands behind it."""

    commands: str
    shown: str


def shell_blocks() -> Iterator[Shell]:
    """Those of the page, without the installation."""
    pattern = r"^```sh\n(.*?)^```\n(?:\n```text\n(.*?)^```)?"
    for found in re.finditer(pattern, PAGE.read_text(), re.MULTILINE | re.DOTALL):
        lines = [line for line in found[1].splitlines() if not line.startswith("pip install")]
        if lines:
            yield Shell("\n".join(lines), found[2] or "")


def comparable(output: str) -> list[str]:
    """The lines without what differs from run to run: numbers, columns, folders, the platform."""
    text = re.sub(r"embedded://\S*/memory", "embedded:///path/to/memory", output)
    text = re.sub(r"platform .*", "platform ...", text)
    text = re.sub(r"\d+([.,h:-]\d+)*m?", "0", text)
    return [" ".join(line.split()) for line in text.splitlines()]


def run_page(folder: Path, shells: list[Shell]) -> list[str]:
    """What the blocks print, run one after the other in one bash that stops at a failure."""
    (folder / "bin").mkdir()
    for name, arguments in (("valkey-memory", "-m valkey_memory._cli"), ("python", "")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    (remember,) = blocks(PAGE, "python")
    (folder / "remember.py").write_text(remember)
    lines = ["set -euo pipefail"]
    for shell in shells:
        lines += [f"echo '{MARK}'", shell.commands]
    root = str(PAGE.parent.parent)
    environment = {name: value for name, value in os.environ.items() if name != "VALKEY_URL"}
    environment |= {
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
    }
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-c", "\n".join(lines)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout.split(f"{MARK}\n")[1:]


@pytest.mark.slow
def test_commands_print_what_is_shown(tmp_path: Path) -> None:
    shells = list(shell_blocks())
    has_jq = shutil.which("jq") is not None
    if not has_jq:
        shells = [shell for shell in shells if "jq" not in shell.commands]
    for shell, printed in zip(shells, run_page(tmp_path, shells), strict=True):
        assert comparable(printed) == comparable(shell.shown), shell.commands
    if not has_jq:
        pytest.skip("jq is not installed, so its commands did not run")


def test_every_command_and_option_is_listed() -> None:
    documented = {}
    for row in rows("cli.md", "command"):
        command = code(row[0])[0].split()[0]
        documented[command] = {each.split()[0] for each in code(row[2]) if each.startswith("-")}
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert list(documented) == list(commands)
    for name, command in commands.items():
        options = {
            option
            for parameter in command.params
            for option in [max(parameter.opts, key=len)]
            if option.startswith("-")
        }
        assert documented[name] == options - COMMON, name
        has = options & COMMON
        lacks = {"demo": COMMON - {"--json"}, "search": {"--key-prefix"}}.get(name, set())
        assert has == COMMON - lacks, name
    assert {code(row[0])[0].split()[0] for row in rows("cli.md", "option")} == COMMON


def test_every_finding_is_listed() -> None:
    """What the checks can say, read from their source: ``...`` stands for what varies."""
    listed = Counter(
        (check, level, code(what)[0])
        for page in ("cli.md", ADVICE_PAGE)
        for check, level, what, _ in rows(page, "check")
    )
    assert listed == Counter(findings())


def findings() -> Iterator[tuple[str, str, str]]:
    trees = [ast.parse(inspect.getsource(module)) for module in (checks, stored_checks)]
    for function in [node for tree in trees for node in tree.body]:
        if not isinstance(function, ast.FunctionDef):
            continue
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"):
                continue
            check, level, what = (node.args + [None] * 3)[:3]
            if not (isinstance(check, ast.Constant) and isinstance(level, ast.Constant)):
                continue
            if level.value == "ok" or what is None:
                continue
            for text in texts(what, function):
                yield str(check.value), str(level.value), text


def texts(node: ast.expr, function: ast.FunctionDef) -> Iterator[str]:
    """The forms of a text: those that a variable gets, when it is one."""
    if not isinstance(node, ast.Name):
        yield template(node)
        return
    for each in ast.walk(function):
        if isinstance(each, ast.Assign) and getattr(each.targets[0], "id", "") == node.id:
            text = template(each.value)
            if not text.startswith("a cluster of"):  # of a finding that is ok
                yield text


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        text = "".join(map(template, node.values))
    elif isinstance(node, ast.BinOp):
        text = template(node.left) + template(node.right)
    else:
        text = "..."
    return text
