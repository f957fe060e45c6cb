"""``ValkeyConnection``: one server, its GLIDE clients, and the running of plans on them."""

from __future__ import annotations

import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from .._errors import ConfigurationError, ConnectionClosedError, ValkeyMemoryError
from .._plans import Aside, Lanes, Plan, Reply, Request, Step, Work, arun, run
from .._secrets import Secret, hide_url, mask
from . import given
from .clients import FREE_STEPS, ClientFactory
from .execution import ServerStep, aexecute, execute
from .loops import AsyncClients, check_loop
from .recovery import Renew, may_recover, recovered_plan
from .settings import Settings, change, parse, resolve_url
from .sync_client import SyncClientHolder
from .threads import in_thread

if TYPE_CHECKING:
    from glide import BackoffStrategy, IamAuthConfig, ReadFrom, TlsAdvancedConfiguration

    from .clients import AnyConfiguration, AsyncClient, SyncClient

T = TypeVar("T")

_CLOSE_SECONDS = 60.0


class ValkeyConnection:
    """A server, reached through GLIDE, for any number of stores, threads and event loops.

    Nothing is opened before the first operation. Then there is one sync client for all threads and
    one async client per running event loop, each opened once, found again after a fork, and closed
    with its loop or with this object.

    Make one with ``from_url``, ``from_config`` or ``from_clients``; share it between stores.

    Examples:
        >>> from valkey_memory import MessageStore, ValkeyConnection
        >>> with ValkeyConnection.from_url("embedded://") as connection:
        ...     store = MessageStore(connection=connection, ttl=3600)
        ...     store.append("s1", {"role": "user", "content": "Hi"})
        ...     store.count("s1")
        1
    """

    def __init__(
        self,
        factory: ClientFactory,
        *,
        url: str | None = None,
        sync_client: SyncClient | None = None,
        async_client: AsyncClient | None = None,
    ) -> None:
        self._factory = factory
        self._url = url
        self._given = sync_client is not None or async_client is not None
        self._given_async_client = async_client
        self._sync = SyncClientHolder(factory)
        self._sync.client = sync_client
        self._async_clients = AsyncClients(factory)
        self._lock = threading.Lock()
        self._closed = False
        self._primaries: ValkeyConnection | None = None
        _open_connections.add(self)

    @classmethod
    def from_url(
        cls,
        url: str | None = None,
        *,
        username: str | None = None,
        password: str | None = None,
        cluster: bool | None = None,
        request_timeout: float | None = None,
        connection_timeout: float | None = None,
        read_from: ReadFrom | str | None = None,
        client_az: str | None = None,
        client_name: str | None = None,
        tls: TlsAdvancedConfiguration | None = None,
        iam: IamAuthConfig | None = None,
        reconnect_strategy: BackoffStrategy | None = None,
        retry_writes: bool | None = None,
    ) -> ValkeyConnection:
        """A connection described by a URL; arguments win over what the URL says.

        Args:
            url: ``valkey://[[user]:password@]host[:port][/database][?option=value]``, ``valkeys://``
                for TLS, ``redis://``, ``rediss://``, or ``embedded://[/directory]``. Default: the
                environment variable ``VALKEY_URL``, then ``valkey://localhost:6379``.
            username: ACL user; needed with ``iam``.
            password: As it is, not percent-encoded.
            cluster: True or False. By default the server is asked once, with ``INFO cluster``.
            request_timeout: Seconds an operation may take, 5 by default. Bulk writes get another
                second per 10 MB.
            connection_timeout: Seconds to connect, 2 by default.
            read_from: A ``glide.ReadFrom``, or its name in lower case: ``"prefer_replica"`` spreads
                reads, which may then be a moment behind; GLIDE finds the replicas by itself.
                Default ``"primary"``.
            client_az: This client's availability zone, for the ``az_affinity`` strategies.
            client_name: Shown by ``CLIENT LIST``.
            tls: GLIDE's ``TlsAdvancedConfiguration``: own CA, client certificate and key.
            iam: GLIDE's ``IamAuthConfig``: ElastiCache and MemoryDB with IAM instead of a password.
            reconnect_strategy: GLIDE's ``BackoffStrategy``.
            retry_writes: Send a write again whose outcome is unknown; it carries a token, so that
                it is applied once. True by default.

        Raises:
            ConfigurationError: The URL or an option cannot work. Nothing was opened.
        """
        url = resolve_url(url)
        options: dict[str, Any] = {
            "username": username,
            # Of what is no string only its type: that is refused, in sight of tools that print
            # variables.
            "password": Secret(password) if isinstance(password, str) else type(password),
            "cluster": cluster,
            "request_timeout": request_timeout,
            "connection_timeout": connection_timeout,
            "read_from": read_from,
            "client_az": client_az,
            "client_name": client_name,
            "retry_writes": retry_writes,
        }
        if password is None:
            options["password"] = None
        del password
        settings = parse(url)
        changes = {name: value for name, value in options.items() if value is not None}
        settings = change(settings, changes)
        given.check_options(tls=tls, iam=iam, reconnect_strategy=reconnect_strategy)
        if tls is not None and not settings.tls:
            raise ConfigurationError(f"tls= needs a valkeys:// URL, not {mask(url)!r}")
        factory = ClientFactory(settings, tls=tls, iam=iam, reconnect_strategy=reconnect_strategy)
        reproducible = not changes and not any((tls, iam, reconnect_strategy))
        return cls(factory, url=url if reproducible else None)

    @classmethod
    def from_config(cls, config: AnyConfiguration) -> ValkeyConnection:
        """A connection described by GLIDE's own configuration object, for all that GLIDE can do.

        Args:
            config: ``GlideClientConfiguration`` or ``GlideClusterClientConfiguration``. Mind its
                default ``request_timeout`` of 250 ms.
        """
        given.check_config(config)
        cluster = type(config).__name__ == "GlideClusterClientConfiguration"
        return cls(ClientFactory(Settings(cluster=cluster), configuration=config))

    @classmethod
    def from_clients(
        cls,
        sync_client: SyncClient | None = None,
        async_client: AsyncClient | None = None,
    ) -> ValkeyConnection:
        """A connection over ready GLIDE clients, which stay yours to close.

        Args:
            sync_client: For the sync methods, from any thread.
            async_client: For the async methods, in the event loop that made it.
        """
        one = sync_client if sync_client is not None else async_client
        if one is None:
            raise ConfigurationError("from_clients needs sync_client=, async_client= or both")
        given.check_clients(sync_client, async_client)
        # For the address in errors only; the sync client does not publish its configuration.
        config = getattr(one, "config", None) or getattr(one, "_config", None)
        factory = ClientFactory(Settings(), configuration=config)
        return cls(factory, sync_client=sync_client, async_client=async_client)

    @classmethod
    def shared(cls, url: str | None = None) -> ValkeyConnection:
        """The process's connection for ``url``, opened on first use and kept until it ends.

        Stores made with ``url=`` use it, because frameworks make a store per request, and a client
        per request would cost milliseconds and be kept by GLIDE for ever. To close earlier, make a
        connection with ``from_url`` and pass it as ``connection=``.

        Args:
            url: As in ``from_url``.
        """
        url = resolve_url(url)
        with _shared_lock:
            connection = _shared.get(url)
            if connection is None or connection._closed:
                connection = _shared[url] = ValkeyConnection.from_url(url)
            return connection

    @property
    def address(self) -> str:
        """``host:port``, or ``embedded://...``; never credentials."""
        return self._factory.address

    @property
    def url(self) -> str | None:
        """The URL that gives an equal connection, with its password; None when none does."""
        return None if self._url is None else str(self._url)

    def for_primaries(self) -> ValkeyConnection:
        """This connection, or one beside it that reads from primaries where this one does not.

        A vector index uses it: a copy that was filled from a replica behind its primary would stay
        wrong. It is closed with this one. Given clients read where they were told to.
        """
        with self._lock:
            if self._primaries is None:
                factory = self._factory.for_primaries()
                if self._closed or factory is self._factory:
                    return self
                self._primaries = ValkeyConnection(factory)
            return self._primaries

    def run(self, plan: Plan[T]) -> T:
        """Run a plan with the sync client."""
        return run(plan, self._execute)

    async def arun(self, plan: Plan[T]) -> T:
        """Run a plan with the running event loop's async client."""
        return await arun(plan, self._aexecute)

    def close(self) -> None:
        """Close every client that this object opened, and its embedded server. Then it is over.

        Clients given to ``from_clients`` stay open. Repeating it is harmless.
        """
        with self._lock:
            self._closed = True
        if self._primaries is not None:
            self._primaries.close()
        self._async_clients.close()
        if not self._given:
            self._sync.close()
        self._factory.release()

    async def aclose(self) -> None:
        """``close``, in a thread: stopping an embedded server takes a moment."""
        self._async_clients.close()
        if self._primaries is not None:
            self._primaries._async_clients.close()
        await in_thread(self.close, _CLOSE_SECONDS, "close")

    # Serving steps. What fails is recovered

    def _execute(self, step: Step) -> Reply:
        if not isinstance(step, Request):
            if isinstance(step, FREE_STEPS):
                return self._factory.known(step)
            if isinstance(step, Work):
                return step.serve()
            if isinstance(step, Lanes):
                return step.run(self._execute)
            if isinstance(step, Aside):
                return step.jobs.start(lambda: self.run(step.plan()))
        since = time.monotonic()
        try:
            return self._send(step)
        except ValkeyMemoryError as error:
            if not may_recover(error):
                raise
            return run(self._recovered_plan(step, error, since), self._execute_again)

    def _execute_again(self, step: Step) -> Reply:
        return step.serve() if isinstance(step, Work) else self._send(cast("ServerStep", step))

    def _send(self, step: ServerStep) -> Reply:
        client = self._sync.client or self._open_sync_client(step)
        return execute(client, step, self._factory)

    async def _aexecute(self, step: Step) -> Reply:
        if not isinstance(step, Request):
            if isinstance(step, FREE_STEPS):
                return self._factory.known(step)
            if isinstance(step, Work):
                return await step.aserve()
            if isinstance(step, Lanes):
                return await step.arun(self._aexecute)
            if isinstance(step, Aside):
                return step.jobs.astart(self.arun(step.plan()))
        since = time.monotonic()
        try:
            return await self._asend(step)
        except ValkeyMemoryError as error:
            if not may_recover(error):
                raise
            return await arun(self._recovered_plan(step, error, since), self._aexecute_again)

    async def _aexecute_again(self, step: Step) -> Reply:
        if isinstance(step, Work):
            return await step.aserve()
        return await self._asend(cast("ServerStep", step))

    async def _asend(self, step: ServerStep) -> Reply:
        client = self._async_clients.opened() or await self._open_async_client(step)
        return await aexecute(client, step, self._factory)

    def _recovered_plan(
        self, step: ServerStep, error: ValkeyMemoryError, since: float
    ) -> Plan[Reply]:
        timeouts = self._factory.request_timeout, self._factory.connection_timeout
        return recovered_plan(step, error, since, self, *timeouts)

    def renew(self, step: Renew) -> bool:
        """Examine the sync client; a given one is not ours to replace."""
        return not self._given and not self._closed and self._sync.renew(step)

    async def arenew(self, step: Renew) -> bool:
        """Async ``renew``."""
        return not self._given and not self._closed and await self._async_clients.renew(step)

    def _open_sync_client(self, step: ServerStep) -> SyncClient:
        with self._lock:
            if self._closed:
                raise self._closed_error(step)
            if self._given:
                raise ConfigurationError(
                    "this connection was made from an async client only: pass sync_client= "
                    "to from_clients too, or use from_url"
                )
            return self._sync.open(step.operation)

    async def _open_async_client(self, step: ServerStep) -> AsyncClient:
        if self._closed:
            raise self._closed_error(step)
        if not self._given:
            return await self._async_clients.open(step.operation)
        client = self._given_async_client
        if client is None:
            raise ConfigurationError(
                "this connection was made from a sync client only: pass async_client= "
                "to from_clients too, or use from_url"
            )
        check_loop(client)
        return client

    def _closed_error(self, step: ServerStep) -> ConnectionClosedError:
        return ConnectionClosedError(
            f"{step.operation}: the connection to {self.address} was closed; open a new one"
        )

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self._sync.after_fork()
        self._async_clients.after_fork()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._url is None:
            raise ConfigurationError(
                "this connection cannot be pickled: it has clients or options that no URL holds. "
                "Make it with from_url and a URL alone"
            )
        return ValkeyConnection.shared, (str(self._url),)

    def __repr__(self) -> str:
        return f"<ValkeyConnection {self.address}{' closed' if self._closed else ''}>"


_open_connections: weakref.WeakSet[ValkeyConnection] = weakref.WeakSet()
_shared: dict[str, ValkeyConnection] = {}
_shared_lock = threading.Lock()


def choose_connection(url: str | None, connection: ValkeyConnection | None) -> ValkeyConnection:
    """What a store given ``url`` and ``connection`` shall use."""
    url = hide_url(url)
    if connection is None:
        return ValkeyConnection.shared(url)
    if url is not None:
        raise ConfigurationError("give url= or connection=, not both")
    if not isinstance(connection, ValkeyConnection):
        raise ConfigurationError(
            f"connection must be a ValkeyConnection, not {type(connection).__name__}: make one "
            "with ValkeyConnection.from_url(...) or ValkeyConnection.from_clients(...)"
        )
    return connection


def _after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()
    for connection in list(_open_connections):
        connection._after_fork()


os.register_at_fork(after_in_child=_after_fork)
