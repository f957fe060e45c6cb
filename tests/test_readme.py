"""The README: its code pasted into a plain ``python``, and what its comments promise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from .test_documentation import README, ROOT

TEXT = (ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(README)))
def test_it_runs_when_pasted(number: int, tmp_path: Path) -> None:
    """Line by line, where an empty line ends a class; a temporary server, and none of our own."""
    environment = {name: value for name, value in os.environ.items() if name != "VALKEY_URL"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-i", "-q"],
        input=README[number],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert not re.search("Error|Traceback|Warning", done.stderr), done.stderr
    for promised in re.findall(r"^print\(.*\)  # (.+) \.\.\.$", README[number], re.MULTILINE):
        assert promised in done.stdout


def test_every_extra_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    listed = set(re.findall(r"^\| `([a-z-]+)` \|", TEXT, re.MULTILINE))
    assert listed == project["optional-dependencies"].keys() - {"demo"}


def test_its_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", TEXT):
        if not link.startswith("https://"):
            assert (ROOT / link.partition("#")[0]).exists(), link
