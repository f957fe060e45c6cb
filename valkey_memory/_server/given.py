"""Objects of GLIDE's that a caller may give. Known by name, so that GLIDE is not imported."""

from __future__ import annotations

from .._errors import ConfigurationError

_CLIENTS = ("GlideClient", "GlideClusterClient")


def check_options(*, tls: object, iam: object, reconnect_strategy: object) -> None:
    """Raise ConfigurationError for an option that is another object than GLIDE's."""
    for name, value, kind in (
        ("tls", tls, "TlsAdvancedConfiguration"),
        ("iam", iam, "IamAuthConfig"),
        ("reconnect_strategy", reconnect_strategy, "BackoffStrategy"),
    ):
        if value is not None:
            _check(name, value, (kind,), "glide")


def check_config(config: object) -> None:
    """Raise ConfigurationError for what is no configuration of GLIDE's."""
    names = ("GlideClientConfiguration", "GlideClusterClientConfiguration")
    _check("config", config, names, "glide")


def check_clients(sync_client: object, async_client: object) -> None:
    """Raise ConfigurationError for what is no client of GLIDE's, or one of its other package."""
    if sync_client is not None:
        _check("sync_client", sync_client, _CLIENTS, "glide_sync")
    if async_client is not None:
        _check("async_client", async_client, _CLIENTS, "glide")


def _check(argument: str, value: object, names: tuple[str, ...], package: str) -> None:
    # What both packages have is defined in a third.
    homes = (package, "glide_shared")
    for kind in type(value).__mro__:
        if kind.__name__ in names and kind.__module__.partition(".")[0] in homes:
            return
    wanted = " or ".join(f"{package}.{name}" for name in names)
    kind = type(value)
    raise ConfigurationError(
        f"{argument} must be a {wanted}, not {kind.__module__}.{kind.__qualname__}"
    )
