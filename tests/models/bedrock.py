"""Bedrock's InvokeModel for the embedding models of Titan and Cohere, on 127.0.0.1.

It speaks the wire format of the Amazon Bedrock User Guide ("Amazon Titan Text Embeddings models",
"Cohere Embed v3 models") and of the API reference of InvokeModel, so that the real boto3 and
langchain-aws can be driven without an account. The vectors are bags of words.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import unquote

from .words import bag_of_words

TITAN_1 = "amazon.titan-embed-text-v1"
TITAN_2 = "amazon.titan-embed-text-v2:0"
COHERE = "cohere.embed-english-v3"
ACCESS_KEY = "AKIDEXAMPLE"

_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering")
_COHERE_TEXTS = 96
_COHERE_CHARACTERS = 2048
_MEETING_SECONDS = 30


class Failure(NamedTuple):
    """An error answer."""

    status: int
    type: str
    message: str


THROTTLED = Failure(
    429, "ThrottlingException", "Too many requests, please wait before trying again."
)
DENIED = Failure(
    403, "AccessDeniedException", "You don't have access to the model with the specified model ID."
)
MODEL_TIMEOUT = Failure(408, "ModelTimeoutException", "The request took too long to process.")
INTERNAL = Failure(500, "InternalServerException", "An internal server error occurred.")
UNAVAILABLE = Failure(503, "ServiceUnavailableException", "The service is not available.")
UNKNOWN_MODEL = Failure(400, "ValidationException", "The provided model identifier is invalid.")


def invalid(message: str) -> Failure:
    return Failure(400, "ValidationException", f"Malformed input request: {message}")


class Call(NamedTuple):
    """A request that arrived."""

    model: str
    texts: list[str]
    input_type: str | None
    """Cohere's; None for Titan."""


def embed(text: str, model: str, dimension: int, input_type: str | None = None) -> list[float]:
    """The vector that a model here gives a text."""
    vector = bag_of_words(text, dimension)
    if model == TITAN_1:
        return [20 * number for number in vector]  # Titan v1 does not normalise
    if input_type is not None:
        # Cohere's vectors of one text differ by what they are for.
        purpose = bag_of_words(input_type, dimension)
        return [number + 0.2 * other for number, other in zip(vector, purpose, strict=True)]
    return vector


@dataclass
class Endpoint:
    """What the endpoint has seen, and how it shall answer.

    Attributes:
        calls: Every request, in the order of arrival; those that fail too.
        most_at_once: How many requests were being answered at the same time, at most.
        script: What request number n shall fail with; None answers it.
        meeting: Requests wait here for each other before they are answered.
        aliases: Other identifiers of the models, such as the ARN of a provisioned one.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    most_at_once: int = 0
    script: Callable[[int, Call], Failure | None] = lambda _number, _call: None
    meeting: threading.Barrier | None = None
    aliases: dict[str, str] = field(default_factory=dict)
    _at_once: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def texts(self) -> list[str]:
        """Every text that arrived."""
        return [text for call in self.calls for text in call.texts]

    def answer(self, model: str, body: dict[str, Any]) -> dict[str, Any] | Failure:
        texts = body.get("texts", [body.get("inputText")])
        call = Call(model, texts, body.get("input_type"))
        with self._lock:
            number = len(self.calls)
            self.calls.append(call)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.meeting is not None:
                self.meeting.wait(_MEETING_SECONDS)
            return self.script(number, call) or _invoke(self.aliases.get(model, model), body)
        except threading.BrokenBarrierError:
            return INTERNAL
        finally:
            with self._lock:
                self._at_once -= 1


def _invoke(model: str, body: dict[str, Any]) -> dict[str, Any] | Failure:
    models = {TITAN_1: _titan_1, TITAN_2: _titan_2, COHERE: _cohere}
    return models[model](body) if model in models else UNKNOWN_MODEL


def _extraneous(body: dict[str, Any], known: set[str]) -> Failure | None:
    extra = sorted(set(body) - known)
    return invalid(f"extraneous key [{extra[0]}] is not permitted") if extra else None


def _titan_1(body: dict[str, Any]) -> dict[str, Any] | Failure:
    text = body.get("inputText")
    if failure := _extraneous(body, {"inputText"}) or _bad_text(text):
        return failure
    return {
        "embedding": embed(str(text), TITAN_1, 1536),
        "inputTextTokenCount": len(str(text).split()),
    }


def _titan_2(body: dict[str, Any]) -> dict[str, Any] | Failure:
    text = body.get("inputText")
    known = {"inputText", "dimensions", "normalize", "embeddingTypes"}
    if failure := _extraneous(body, known) or _bad_text(text):
        return failure
    dimension = body.get("dimensions", 1024)
    if dimension not in (256, 512, 1024):
        return invalid(f"{dimension} is not a valid enum value")
    scale = 1 if body.get("normalize", True) else 3
    vector = [scale * number for number in embed(str(text), TITAN_2, dimension)]
    return {
        "embedding": vector,
        "embeddingsByType": {"float": vector},
        "inputTextTokenCount": len(str(text).split()),
    }


def _bad_text(text: object) -> Failure | None:
    if not isinstance(text, str):
        return invalid("required key [inputText] not found")
    return None if text else invalid("expected minLength: 1, actual: 0")


def _cohere(body: dict[str, Any]) -> dict[str, Any] | Failure:
    texts, input_type = body.get("texts"), body.get("input_type")
    if failure := _extraneous(body, {"texts", "input_type", "truncate", "embedding_types"}):
        return failure
    if not isinstance(texts, list) or not 1 <= len(texts) <= _COHERE_TEXTS:
        return invalid(f"#/texts: expected 1 to {_COHERE_TEXTS} items")
    if any(len(text) > _COHERE_CHARACTERS for text in texts):
        return invalid(f"#/texts: expected maxLength: {_COHERE_CHARACTERS}")
    if input_type not in _INPUT_TYPES:
        return invalid(f"#/input_type: {input_type} is not a valid enum value")
    return {
        "id": str(uuid.uuid4()),
        "texts": texts,
        "response_type": "embeddings_floats",
        "embeddings": [embed(text, COHERE, 1024, input_type) for text in texts],
    }


@contextmanager
def serve() -> Iterator[Endpoint]:
    """An endpoint that listens."""
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or the end of an answer waits for an acknowledgement

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            _, kind, model, action = self.path.split("/")
            signed = self.headers.get("Authorization", "")
            if (kind, action) != ("model", "invoke"):
                answer: dict[str, Any] | Failure = Failure(404, "UnknownOperationException", "")
            elif not signed.startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/"):
                answer = Failure(403, "UnrecognizedClientException", "The token is invalid.")
            else:
                answer = endpoint.answer(unquote(model), body)
            if isinstance(answer, Failure):
                error = f"{answer.type}:http://internal.amazon.com/coral/com.amazon.bedrock/"
                self.send(answer.status, {"message": answer.message}, {"x-amzn-ErrorType": error})
            else:
                count = {"X-Amzn-Bedrock-Input-Token-Count": "1"}
                self.send(200, answer, count)

        def send(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        endpoint.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
