"""Directories of an embedded server: of any name, read-only, damaged, and none at all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from valkey_memory import (
    ConfigurationError,
    EmbeddedServerError,
    EmbeddedValkey,
    MessageStore,
    ValkeyConnection,
)

from ..conversations.test_message_lists import said
from ..servers import admin
from .test_embedded import servers_in
from .test_failures import faces

pytestmark = pytest.mark.timeout(120)

NAMES = [
    "with spaces  and\ttabs ",
    'it\'s "quoted"',
    "new\nline",
    "x\nrequirepass secret\nport 1",
    "\r\n",
    "back\\slash\\n\\x41",
    "$HOME `id` $(id) ;&|<>",
    "%41%%",
    "#hash?query&a=b",
    "-",
    "--port",
    "~",
    "*?[a]",
    "ünïcödé 目录 🗂",
    os.fsdecode(b"not-\xff-utf8"),
    "\x01\x7f",
    "n" * 255,
]
names = pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])


def roundtrip(url: str, *, is_async: bool) -> None:
    """Write, close, and read again."""

    async def main(number: int) -> None:
        async with ValkeyConnection.from_url(url) as connection:
            store = MessageStore(connection=connection)
            if is_async:
                assert await store.acount("s") == number
                await store.aappend("s", said("a")[0])
            else:
                assert store.count("s") == number
                store.append("s", said("a")[0])

    for number in range(2):
        asyncio.run(main(number))


@names
def test_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "data"
    # The face makes no difference to a name; each has half of them.
    is_async = NAMES.index(name) % 2 == 0
    roundtrip(f"embedded://{quote(os.fsencode(path))}", is_async=is_async)
    assert {one.name for one in tmp_path.iterdir()} == {name}
    assert (path / "appendonlydir").is_dir()


@names
def test_its_name_is_no_configuration(tmp_path: Path, name: str) -> None:
    with EmbeddedValkey(tmp_path / name) as server:
        assert admin(server.port, "CONFIG", "GET", "requirepass", "port", "dir") == {
            b"requirepass": b"",
            b"port": str(server.port).encode(),
            b"dir": os.fsencode(tmp_path.resolve() / name),
        }


@names
def test_a_temporary_directory_of_any_name(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / name))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with EmbeddedValkey() as server:
        store = MessageStore(url=server.url)
        store.append("s", said("a")[0])
        assert store.messages("s") == said("a")
        assert [one.name[:14] for one in (tmp_path / name).iterdir()] == ["valkey-memory-"]
    assert list((tmp_path / name).iterdir()) == []


def test_tmpdir_of_a_whole_process(tmp_path: Path) -> None:
    place = tmp_path / 'it\'s\n"here" '
    place.mkdir()
    code = (
        "from valkey_memory import MessageStore; s = MessageStore(url='embedded://');"
        "s.append('s', {'role': 'user', 'content': 'a'}); print(s.count('s'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")
    assert list(place.iterdir()) == []


# What cannot be one


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere, where the tests have it."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may look into, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="valkey-memory-tests-")).resolve()
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def refused(directory: Path, *, is_async: bool) -> str:
    """What a store says of a directory."""
    url = f"embedded://{quote(os.fsencode(directory))}"
    store = MessageStore(connection=ValkeyConnection.from_url(url))
    with pytest.raises(EmbeddedServerError) as caught:
        asyncio.run(store.acount("s")) if is_async else store.count("s")
    assert servers_in(directory) == []
    return str(caught.value)


@faces
@pytest.mark.parametrize("below", ["", "new", "new/er"])
def test_a_directory_that_nobody_may_write_to(place: Path, below: str, is_async: bool) -> None:
    place.chmod(0o555)
    with unprivileged():
        text = refused(place / below, is_async=is_async)
    assert f"cannot use {str(place / below)!r} as data directory" in text
    assert "Permission denied" in text
    assert "Choose a directory that this user may write to" in text
    assert list(place.iterdir()) == []


@faces
def test_a_directory_that_became_read_only(place: Path, is_async: bool) -> None:
    """The lock file can be written, and nothing else."""
    with EmbeddedValkey(place) as server:
        MessageStore(url=server.url).append("s", said("a")[0])
    for one in (place / "valkey-memory.lock", place):
        one.chmod(0o666 if one.is_file() else 0o555)
    with unprivileged():
        text = refused(place, is_async=is_async)
    assert "Permission denied" in text
    assert str(place) in text
    place.chmod(0o755)
    with EmbeddedValkey(place) as server:
        assert MessageStore(url=server.url).messages("s") == said("a")


def a_file_instead(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        path = place / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_text("x")

    return damage


def a_directory_instead(name: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return damage


def nonsense_in(pattern: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (found,) = place.glob(pattern)
        found.write_bytes(b"nonsense\n" * 20)

    return damage


def gone(pattern: str) -> Callable[[Path], None]:
    def damage(place: Path) -> None:
        (found,) = place.glob(pattern)
        found.unlink()

    return damage


DAMAGES = {
    "the lock is a directory": a_directory_instead("valkey-memory.lock"),
    "the log is a directory": a_directory_instead("valkey.log"),
    "the data is a file": a_file_instead("appendonlydir"),
    "nonsense in the manifest": nonsense_in("appendonlydir/*.manifest"),
    "nonsense in the base": nonsense_in("appendonlydir/*.base.*"),
    "nonsense in the log of writes": nonsense_in("appendonlydir/*.incr.*"),
    "the base is gone": gone("appendonlydir/*.base.*"),
}


@faces
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory(tmp_path: Path, damage: str, is_async: bool) -> None:
    """It is left as it is, and serves again when it was mended."""
    place = tmp_path / "data"
    with EmbeddedValkey(place) as server:
        MessageStore(url=server.url).append("s", said("a")[0])
    shutil.copytree(place, tmp_path / "copy")
    DAMAGES[damage](place)
    before = {one: one.read_bytes() for one in place.glob("appendonlydir/*")}
    text = refused(place, is_async=is_async)
    assert str(place) in text
    assert len(text.splitlines()) < 20
    if "lock" not in damage and "log is" not in damage:
        assert "move them away, restore a copy, or repair" in text
    assert {one: one.read_bytes() for one in place.glob("appendonlydir/*")} == before
    shutil.rmtree(place)
    shutil.copytree(tmp_path / "copy", place)
    roundtripped = EmbeddedValkey(place)
    assert MessageStore(url=roundtripped.url).messages("s") == said("a")
    roundtripped.close()


def test_a_write_that_was_cut_by_a_crash_is_no_damage(tmp_path: Path) -> None:
    with EmbeddedValkey(tmp_path) as server:
        MessageStore(url=server.url).extend("s", said("a", "b"))
        MessageStore(url=server.url).append("s", said("c")[0])
    (writes,) = tmp_path.glob("appendonlydir/*.incr.*")
    os.truncate(writes, writes.stat().st_size - 20)
    with EmbeddedValkey(tmp_path) as server:
        assert MessageStore(url=server.url).messages("s") == said("a", "b")


@faces
def test_paths_that_lead_nowhere(tmp_path: Path, is_async: bool) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "below", tmp_path / ("n" * 300), Path("/proc/data")):
        assert "cannot use" in refused(path, is_async=is_async)


@pytest.mark.parametrize(
    "directory", ["a\0b", "a\ud800", 7, b"a", ["a"], pytest.param(10**5000, id="long")]
)
def test_what_is_no_path(directory: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be the directory of an embedded server"):
        EmbeddedValkey(directory)


def test_a_loop_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(ConfigurationError, match="cannot be the directory"):
        EmbeddedValkey(tmp_path / "a").start()
    for url in (f"embedded://{tmp_path}/a", "embedded:///a%00b"):
        with pytest.raises(ConfigurationError, match="cannot be the directory"):
            MessageStore(url=url)


def test_no_place_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(EmbeddedServerError, match="Set TMPDIR"):
        EmbeddedValkey().start()
