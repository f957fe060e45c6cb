"""GLIDE's two packages, and the clients of one server that they make.

``glide`` and ``glide_sync`` take 0.2 to 0.3 s each to import, so they are imported on first use.
Their classes come from two packages with the same names; a function that needs some takes the
package as ``glide``.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.metadata
import os
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import ConfigurationError, ValkeyMemoryError
from .._plans import AskFacts, Reply, WriteToken
from .embedded import Lease
from .failures import translate
from .held_scripts import HeldScripts
from .seeds import SLOTS_COMMAND, Address, KnownNodes
from .settings import Settings
from .threads import HANG_MARGIN_SECONDS, close_client, in_thread, reply_within, surviving

if TYPE_CHECKING:
    import glide
    import glide_sync
    from glide import (
        BackoffStrategy,
        GlideClientConfiguration,
        GlideClusterClientConfiguration,
        IamAuthConfig,
        TlsAdvancedConfiguration,
    )

    AnyConfiguration: TypeAlias = GlideClientConfiguration | GlideClusterClientConfiguration
    SyncClient: TypeAlias = glide_sync.GlideClient | glide_sync.GlideClusterClient
    AsyncClient: TypeAlias = glide.GlideClient | glide.GlideClusterClient

FREE_STEPS = AskFacts, WriteToken
"""Steps that ask nobody."""

_START_SECONDS = 120.0
"""So long an embedded server may take to load its data."""

WHEELS = ("valkey-glide", "valkey-glide-sync")


def check_wheels() -> None:
    """Raise ConfigurationError unless GLIDE's two wheels are there in one version.

    Both install the package ``glide_shared``; of two versions one half is the wrong one, and the
    import fails with an error that does not say so.
    """
    try:
        versions = [importlib.metadata.version(wheel) for wheel in WHEELS]
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigurationError(
            f"{error.name} is not installed: pip install --force-reinstall {' '.join(WHEELS)}"
        ) from error
    if versions[0] != versions[1]:
        raise ConfigurationError(
            f"valkey-glide {versions[0]} and valkey-glide-sync {versions[1]} do not work together: "
            f"pip install --force-reinstall valkey-glide=={max(versions)} "
            f"valkey-glide-sync=={max(versions)}"
        )


@functools.cache
def load(name: str) -> ModuleType:
    """Import ``glide`` or ``glide_sync``, its logger silent unless somebody set it before.

    GLIDE would print every error that this library handles to stderr.
    """
    check_wheels()
    package = importlib.import_module(name)
    package.Logger.init(package.LogLevel.OFF)
    return package


class ClientFactory:
    """Makes GLIDE clients for one server, and finds out once whether it is a cluster.

    Args:
        settings: From the URL.
        tls: GLIDE's ``TlsAdvancedConfiguration``: own CA, client certificate, insecure mode.
        iam: GLIDE's ``IamAuthConfig`` for ElastiCache or MemoryDB, instead of a password.
        reconnect_strategy: GLIDE's ``BackoffStrategy``.
        configuration: A complete configuration of GLIDE's, instead of all the others.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        tls: TlsAdvancedConfiguration | None = None,
        iam: IamAuthConfig | None = None,
        reconnect_strategy: BackoffStrategy | None = None,
        configuration: AnyConfiguration | None = None,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._iam = iam
        self._reconnect_strategy = reconnect_strategy
        self._configuration = configuration
        self._cluster = False if settings.embedded else settings.cluster
        self._lease: Lease | None = None
        self._nodes = KnownNodes()
        self.facts: dict[str, Any] = {}
        """What plans found out about the server; of both factories where there are two."""
        self.scripts = HeldScripts()

    @property
    def address(self) -> str:
        if self._configuration is not None:
            return ",".join(f"{a.host}:{a.port}" for a in self._configuration.addresses)
        return self._settings.address

    @property
    def request_timeout(self) -> float:
        """Seconds. GLIDE's own default is 0.25."""
        if self._configuration is not None:
            return (self._configuration.request_timeout or 250) / 1000
        return self._settings.request_timeout

    @property
    def connection_timeout(self) -> float:
        """Seconds to connect."""
        if self._configuration is not None:
            advanced = self._configuration.advanced_config
            return ((advanced and advanced.connection_timeout) or 2000) / 1000
        return self._settings.connection_timeout

    def known(self, step: AskFacts | WriteToken) -> dict[str, Any] | bytes:
        """The reply to one of ``FREE_STEPS``."""
        if isinstance(step, AskFacts):
            return self.facts
        # Random in forked and in restored processes, too.
        return os.urandom(8) if self._settings.retry_writes else b""

    @property
    def reads_replicas(self) -> bool:
        """Whether reads may go to replicas."""
        if self._configuration is not None:
            return self._configuration.read_from.name != "PRIMARY"
        return self._settings.read_from != "primary"

    def for_primaries(self) -> ClientFactory:
        """This factory, or one of clients that read from primaries where this one's do not."""
        if not self.reads_replicas or self._settings.embedded:
            return self
        factory = copy.copy(self)
        factory._settings = replace(self._settings, read_from="primary")
        if self._configuration is not None:
            factory._configuration = copy.copy(self._configuration)
            factory._configuration.read_from = type(self._configuration.read_from).PRIMARY
        return factory

    def create_sync(self, operation: str, silent_key: str = "") -> SyncClient:
        """A connected sync client for ``operation``. Blocks for up to ``connection_timeout``.

        ``silent_key`` is one whose primary in the cluster gave no answer.
        """
        glide_sync = load("glide_sync")
        self.prepare()
        try:
            client: SyncClient
            if self._cluster is not True:
                try:
                    client = self._ask_sync(glide_sync)
                except glide_sync.GlideError as error:
                    if self._cluster is False or not _is_replica(error):
                        raise
                    self._ask_sync(glide_sync, any_node=True).close()
                    if not self._cluster:
                        raise
                else:
                    if not self._cluster:
                        return client
                    client.close()
            configuration = self.configuration(glide_sync, silent_key=silent_key)
            client = glide_sync.GlideClusterClient.create(configuration)
            try:
                batch = _batch_of_one(glide_sync, *SLOTS_COMMAND, cluster=True)
                self._nodes.remember((client.exec(*batch) or [None])[0])
            except BaseException:
                client.close()
                raise
            return client
        except glide_sync.GlideError as error:
            raise self.error(error, operation) from without_frames(error)

    def _ask_sync(self, glide_sync: ModuleType, *, any_node: bool = False) -> SyncClient:
        """A standalone client; what it was asked, unless that is known, is in ``_cluster``."""
        configuration = self.configuration(glide_sync, any_node=any_node)
        client: SyncClient = glide_sync.GlideClient.create(configuration)
        try:
            if self._cluster is None:
                self._cluster = _is_cluster(client.exec(*_batch_of_one(glide_sync, *_INFO)))
        except BaseException:
            client.close()
            raise
        return client

    async def create_async(self, operation: str, silent_key: str = "") -> AsyncClient:
        """An async client of the running loop, which connects with its first request.

        GLIDE's ``create`` blocks the loop while it connects; a lazy client does not.
        """
        glide = load("glide")
        await self.aprepare()
        try:
            client: AsyncClient
            if self._cluster is not True:
                try:
                    client = await self._ask_async(glide)
                except glide.GlideError as error:
                    if self._cluster is False or not _is_replica(error):
                        raise
                    close_client(await self._ask_async(glide, any_node=True))
                    if not self._cluster:
                        raise
                else:
                    if not self._cluster:
                        return client
                    close_client(client)
            configuration = self.configuration(glide, lazy=True, silent_key=silent_key)
            client = surviving(await glide.GlideClusterClient.create(configuration))
            try:
                batch = _batch_of_one(glide, *SLOTS_COMMAND, cluster=True)
                self._nodes.remember((await self._first_reply(client, *batch) or [None])[0])
            except BaseException:
                close_client(client)
                raise
            return client
        except (glide.GlideError, TimeoutError) as error:
            raise self.error(error, operation) from without_frames(error)

    async def _first_reply(self, client: AsyncClient, *batch: Any) -> Any:
        return await reply_within(self.request_timeout + HANG_MARGIN_SECONDS, client.exec(*batch))

    async def _ask_async(self, glide: ModuleType, *, any_node: bool = False) -> AsyncClient:
        configuration = self.configuration(glide, lazy=True, any_node=any_node)
        client: AsyncClient = surviving(await glide.GlideClient.create(configuration))
        try:
            if self._cluster is None:
                info = await self._first_reply(client, *_batch_of_one(glide, *_INFO))
                self._cluster = _is_cluster(info)
        except BaseException:
            close_client(client)
            raise
        return client

    def _addresses(self, glide: ModuleType, given: list[Address], silent_key: str) -> list[Any]:
        return [glide.NodeAddress(*one) for one in self._nodes.addresses(given, silent_key)]

    def prepare(self) -> None:
        """Have the embedded server run, if it is one: start it, or start it again."""
        if not self._settings.embedded:
            return
        if self._lease is None:
            self._lease = Lease.acquire(self._settings.directory)
        else:
            self._lease.revive()

    async def aprepare(self) -> None:
        """``prepare``, beside the event loop."""
        if self._settings.embedded:
            await in_thread(self.prepare, _START_SECONDS, "start of the embedded server")

    def error(self, error: Exception, operation: str) -> ValkeyMemoryError:
        address = self.address
        if self._configuration is None and (database := self._settings.database):
            address += f"/{database}"
        return translate(error, operation=operation, address=address)

    def configuration(
        self,
        glide: ModuleType,
        *,
        lazy: bool = False,
        any_node: bool = False,
        silent_key: str = "",
    ) -> AnyConfiguration:
        """GLIDE's configuration object for what is known of the server so far.

        Args:
            glide: The package whose classes to use.
            lazy: Connect with the first request.
            any_node: Talk to a replica, too, which a standalone client otherwise refuses.
            silent_key: A key whose primary is better left out.
        """
        if self._configuration is not None:
            configuration = copy.copy(self._configuration)
            given = [(one.host, one.port) for one in configuration.addresses]
            configuration.addresses = self._addresses(glide, given, silent_key)
            return configuration
        settings = self._settings
        host, port = settings.host, settings.port
        if settings.embedded:
            self._lease = self._lease or Lease.acquire(settings.directory)
            host, port = self._lease.host, self._lease.port
        credentials = None
        if self._iam is not None or settings.password is not None:
            credentials = glide.ServerCredentials(
                password=None if settings.password is None else str(settings.password),
                username=settings.username,
                iam_config=self._iam,
            )
        elif settings.username is not None:
            raise ConfigurationError(
                f"user {settings.username!r} needs a password (valkey://user:password@host) or iam="
            )
        arguments: dict[str, Any] = {
            "addresses": self._addresses(glide, [(host, port)], silent_key),
            "use_tls": settings.tls,
            "credentials": credentials,
            "read_from": glide.ReadFrom[settings.read_from.upper()],
            "request_timeout": milliseconds(settings.request_timeout),
            "client_name": settings.client_name,
            "client_az": settings.client_az,
            "database_id": settings.database,
            "lazy_connect": lazy,
        }
        advanced = {
            "connection_timeout": milliseconds(settings.connection_timeout),
            "tls_config": self._tls,
        }
        if self._cluster:
            return glide.GlideClusterClientConfiguration(  # type: ignore[no-any-return]
                **arguments,
                reconnect_strategy=self._reconnect_strategy,
                advanced_config=glide.AdvancedGlideClusterClientConfiguration(**advanced),
            )
        if any_node:
            arguments["node_discovery_mode"] = glide.NodeDiscoveryMode.STATIC
        elif self.reads_replicas:
            # A cluster names its replicas; elsewhere GLIDE looks for them only when it is told to.
            arguments["node_discovery_mode"] = glide.NodeDiscoveryMode.DISCOVER_ALL
        # GLIDE retries the first connection too; with its default it does so until the connection
        # timeout and reports "timed out" for a refused address. Four tries in 0.7 s name the cause.
        return glide.GlideClientConfiguration(  # type: ignore[no-any-return]
            **arguments,
            reconnect_strategy=self._reconnect_strategy
            or glide.BackoffStrategy(num_of_retries=3, factor=50, exponent_base=2),
            advanced_config=glide.AdvancedGlideClientConfiguration(**advanced),
        )

    def release(self) -> None:
        """Give back the embedded server, which stops when nobody else uses it."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None


def without_frames(error: BaseException) -> BaseException:
    """``error`` of GLIDE's, without the frames that have the password in their variables."""
    before: BaseException | None = error
    while before is not None:
        before = before.with_traceback(None).__context__
    return error


def milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


_INFO = ("INFO", "cluster")


def _batch_of_one(glide: ModuleType, *command: str, cluster: bool = False) -> tuple[Any, bool]:
    """What ``exec`` is given so that an error comes back as a value."""
    batch = (glide.ClusterBatch if cluster else glide.Batch)(is_atomic=False)
    batch.custom_command(list(command))
    return batch, False


def _is_replica(error: Exception) -> bool:
    """Whether the address leads to a replica, as the endpoint of a cluster may."""
    return "no primary" in str(error).lower()


def _is_cluster(replies: Sequence[Reply] | None) -> bool:
    info = replies[0] if replies else b""
    # A server that refuses INFO is taken for standalone; GLIDE itself needs the permission.
    return isinstance(info, bytes) and b"cluster_enabled:1" in info


def is_cluster_client(client: object) -> bool:
    return type(client).__name__ == "GlideClusterClient"
