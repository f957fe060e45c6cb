"""Models by name, for ``--embedding`` and ``--model``. None is imported before it is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from .._errors import ConfigurationError
from .._models.local import LocalEmbedding

Embedding = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="The model that the documents were embedded with: local, bedrock:MODEL_ID, or "
        "module:attribute for an embedding object of LangChain or LlamaIndex, or what makes one.",
    ),
]

EmbedQuery = Callable[[str], Sequence[float]]


def embedding_model(name: str) -> Any:
    """The embedding model ``name``.

    Raises:
        ConfigurationError: There is no such model, or what it needs is not installed.
    """
    if name == "local":
        return LocalEmbedding()
    kind, colon, rest = name.partition(":")
    if not colon or not rest:
        raise ConfigurationError(
            f"--embedding {name!r} is unknown: use local, bedrock:MODEL_ID or module:attribute"
        )
    return _bedrock(rest) if kind == "bedrock" else _made(_named("--embedding", kind, rest))


def embed_query(name: str) -> EmbedQuery:
    """What embeds a query with the model ``name``.

    Raises:
        ConfigurationError: There is no such model, or what it needs is not installed.
    """
    model = embedding_model(name)
    for method in ("embed_query", "get_query_embedding"):  # LangChain's and LlamaIndex's
        if callable(found := getattr(model, method, None)):
            return found  # type: ignore[no-any-return]
    raise ConfigurationError(
        f"--embedding {name!r} is {type(model).__name__}, which has neither embed_query "
        "(LangChain) nor get_query_embedding (LlamaIndex)"
    )


def chat_model(name: str) -> Any:
    """The chat model ``name``, or what else can be asked.

    Raises:
        ConfigurationError: There is no such model, or what it needs is not installed.
    """
    kind, colon, rest = name.partition(":")
    if not colon or not rest:
        raise ConfigurationError(
            f"--model {name!r} is unknown: use bedrock:MODEL_ID or module:attribute"
        )
    if kind == "bedrock":
        return _require("langchain_aws", "bedrock").ChatBedrockConverse(model=rest)
    found = _named("--model", kind, rest)
    return found() if isinstance(found, type) else found


def _require(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigurationError(
            f"{module} is not installed: pip install 'valkey-glide-memory[{extra}]'"
        ) from error


def _bedrock(model_id: str) -> Any:
    return _require("langchain_aws", "bedrock").BedrockEmbeddings(model_id=model_id)


def _made(found: Any) -> Any:
    """An embedding object, or what makes one when it is called."""
    is_model = hasattr(found, "embed_query") or hasattr(found, "get_query_embedding")
    return found if is_model and not isinstance(found, type) else found()


def _named(option: str, module: str, attribute: str) -> Any:
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the user, as with python -m
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{option} {module}:{attribute}: {error}") from error
    return found
