"""The notebooks: each runs top to bottom, and is stored with the outputs of such a run.

To store the outputs of a new run, as the tests make it:

    .venv/bin/python -m tests.test_notebooks notebooks/01_getting_started.ipynb
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SECONDS = 110

# What would send a notebook to another server or to Bedrock, or let a machine's settings in.
FOREIGN = re.compile(r"VALKEY_|AWS_|BEDROCK_|PYTHONWARNINGS$|IPYTHONDIR$|JUPYTER")
BAD_OUTPUT = re.compile(r"Warning|Traceback|ERROR")
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|private|work|var|opt|mnt|srv|usr)/[\w.-]|[A-Z]:\\\\?\w"
)

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def texts(output: NotebookNode) -> Iterator[str]:
    """Everything in an output that a reader sees as text."""
    if output.output_type == "stream":
        yield output.text
    elif output.output_type == "error":
        yield f"{output.ename}: {output.evalue}"
        yield from output.traceback
    else:
        yield from (
            content if isinstance(content, str) else repr(content)
            for kind, content in output.data.items()
            if not kind.startswith("image/")
        )


def kinds(cell: NotebookNode) -> list[str]:
    """What a cell shows, whatever the words: ``["stdout", "image/png text/plain"]``."""
    found: list[str] = []
    for output in cell.outputs:
        kind = output.name if output.output_type == "stream" else " ".join(sorted(output.data))
        if output.output_type != "stream" or found[-1:] != [kind]:
            found.append(kind)
    return found


def read(path: Path) -> NotebookNode:
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def execute(path: Path, folder: Path) -> NotebookNode:
    """Run a copy of a notebook in ``folder``, as somebody who opens it and runs all cells."""
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    environment = {name: value for name, value in os.environ.items() if not FOREIGN.match(name)}
    environment |= {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "PIP_NO_INDEX": "1",  # the install cell finds everything installed
    }
    # Sockets in a folder of its own: free TCP ports, looked up ahead, may be taken by others. The
    # folder is not pytest's because paths of sockets may have about 100 characters.
    with tempfile.TemporaryDirectory(prefix="kernel-") as sockets:
        manager = AsyncKernelManager(
            kernel_name="python3",
            transport="ipc",
            connection_file=str(Path(sockets) / "kernel.json"),
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=SECONDS,
            coalesce_streams=True,
            record_timing=False,
            resources={"metadata": {"path": str(folder)}},
        )
        executed: NotebookNode = client.execute(env=environment, cleanup_kc=True)
    return executed


DAILY = {"01_getting_started", "07_memory_across_sessions", "09_agents_that_remember"}
"""The others are run with the long tests: each starts a kernel, and imports frameworks anew."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=[pytest.mark.long] * (path.stem not in DAILY))
        for path in NOTEBOOKS
    ],
)
def test_it_runs_and_shows_what_is_stored(path: Path, tmp_path: Path) -> None:
    executed = execute(path, tmp_path)  # raises CellExecutionError where a cell fails
    for cell in code_cells(executed):
        for output in cell.outputs:
            assert output.get("name") != "stderr", f"on stderr: {output.text}\nby {cell.source}"
            for text in texts(output):
                assert not BAD_OUTPUT.search(text), f"{text}\nby {cell.source}"
    stored = read(path)
    for before, now in zip(code_cells(stored), code_cells(executed), strict=True):
        assert kinds(before) == kinds(now), f"other outputs than stored, by {before.source}"


@each_notebook
def test_its_outputs_are_stored(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1)), "not stored as run top to bottom"
    assert any(cell.outputs for cell in cells)
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error", f"by {cell.source}"
            assert output.get("name") != "stderr", f"on stderr: {output.text}"
            for text in texts(output):
                assert not BAD_OUTPUT.search(text), f"{text}\nby {cell.source}"
                assert not MACHINE_PATH.search(text), f"{text}\nby {cell.source}"


def test_all_install_in_the_same_first_cell() -> None:
    first = {code_cells(read(path))[0].source for path in NOTEBOOKS}
    assert len(first) == 1
    assert all("pip" not in cell.source for path in NOTEBOOKS for cell in code_cells(read(path))[1:]
               if "llama-index-llms" not in cell.source)  # fmt: skip


def run_install_cell(folder: Path, monkeypatch: pytest.MonkeyPatch, done: Any) -> list[str]:
    """What the install cell runs in ``folder``, where pip ends like ``done``."""
    commands: list[list[str]] = []

    def pip(command: list[str], **_: object) -> Any:
        commands.append(command)
        return done

    monkeypatch.chdir(folder)
    monkeypatch.setattr(subprocess, "run", pip)
    exec(code_cells(read(NOTEBOOKS[0]))[0].source, {})  # noqa: S102
    (command,) = commands
    return command


DONE = SimpleNamespace(returncode=0, stdout="", stderr="")


def test_a_clone_installs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The project may be on no index yet."""
    command = run_install_cell(ROOT / "notebooks", monkeypatch, DONE)
    assert command[1:4] == ["-m", "pip", "install"]
    assert command[-1] == f"{ROOT}[notebooks]"
    assert run_install_cell(tmp_path, monkeypatch, DONE)[-1] == "valkey-glide-memory[notebooks]"


def test_an_installation_that_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = SimpleNamespace(returncode=1, stdout="", stderr="ERROR: No matching distribution")
    with pytest.raises(SystemExit, match=r"(?s)pip install.*failed:.*No matching distribution"):
        run_install_cell(tmp_path, monkeypatch, failed)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


def store(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        executed = execute(path, Path(folder))
    executed.metadata.language_info = {"name": "python"}  # not this machine's version of it
    nbformat.write(executed, path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    for name in sys.argv[1:]:
        store(Path(name))
