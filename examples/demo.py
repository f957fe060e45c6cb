"""One conversation, held by LangChain, continued by a second process and then by LlamaIndex.

    python examples/demo.py

Then messages of several sessions are found by meaning. The valkey-servers are private and stop at
the end. Talks to Amazon Bedrock when there are AWS credentials and BEDROCK_MODEL_ID names a model;
otherwise to a scripted offline model that answers from the history it is given.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from glide_sync import GlideClient, GlideClientConfiguration, NodeAddress
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from offline_model import OfflineChatModel
from rich.console import Console
from rich.json import JSON
from rich.markup import escape

from langchain_valkey_glide import ValkeyChatMessageHistory
from valkey_memory import EmbeddedValkey, ValkeyConnection

SESSION = "alice-1"
TTL = 3600
WINDOW = 8
SYSTEM = "You are a helpful assistant. Answer in one or two short sentences."
CONTINUE = "--continue-conversation"  # how this file calls itself for the second process

console = Console(highlight=False)


def choose_model() -> tuple[BaseChatModel, str]:
    """Bedrock if it is set up, else the offline model; and why."""
    model_id = os.environ.get("BEDROCK_MODEL_ID")
    if not model_id:
        return OfflineChatModel(), "the scripted offline model, because BEDROCK_MODEL_ID is not set"
    try:
        import boto3
        from langchain_aws import ChatBedrockConverse
    except ImportError:
        return OfflineChatModel(), (
            "the scripted offline model, because the extra is missing: "
            "pip install 'valkey-glide-memory[bedrock]'"
        )
    session = boto3.Session()
    if session.get_credentials() is None:
        return OfflineChatModel(), "the scripted offline model, because no AWS credentials are set"
    region = os.environ.get("AWS_REGION") or session.region_name  # boto3 does not read the former
    if region is None:
        return OfflineChatModel(), "the scripted offline model, because AWS_REGION is not set"
    model = ChatBedrockConverse(model=model_id, region_name=region, disable_streaming=True)
    return model, f"{model_id} on Bedrock, because AWS credentials and BEDROCK_MODEL_ID are set"


def chapter(title: str) -> None:
    console.print()
    console.rule(f"[bold]{escape(title)}", align="left")


def say(who: str, text: str) -> None:
    color = "cyan" if who == "Alice" else "green"
    console.print(f"[{color}]{who:>9}[/]  {escape(text)}")


def talk_with_langchain(
    connection: ValkeyConnection, model: BaseChatModel, questions: Sequence[str]
) -> None:
    """Load the history, ask, and keep question and answer together once the answer is there."""
    history = ValkeyChatMessageHistory(SESSION, connection=connection, ttl=TTL, max_messages=WINDOW)
    prompt = ChatPromptTemplate.from_messages(
        [("system", SYSTEM), MessagesPlaceholder("history"), ("human", "{question}")]
    )
    chain = prompt | model
    for question in questions:
        say("Alice", question)
        answer = chain.invoke({"history": history.messages, "question": question})
        history.add_messages([HumanMessage(question), answer])
        say("assistant", answer.text)


def talk_with_llama_index(
    connection: ValkeyConnection, model: BaseChatModel, questions: Sequence[str]
) -> None:
    """The same conversation: LlamaIndex's key is LangChain's session id."""
    # Imported here because it takes seconds, and the second process does without it.
    from langchain_llm import LangChainLLM
    from llama_index.core.chat_engine import SimpleChatEngine
    from llama_index.core.memory import ChatMemoryBuffer

    from llama_index_valkey_glide import ValkeyChatStore

    store = ValkeyChatStore(connection=connection, ttl=TTL, max_messages=WINDOW)
    memory = ChatMemoryBuffer.from_defaults(
        chat_store=store,
        chat_store_key=SESSION,
        tokenizer_fn=str.split,  # counts words; the default one may download its data
    )
    engine = SimpleChatEngine.from_defaults(
        llm=LangChainLLM(model=model), memory=memory, system_prompt=SYSTEM
    )
    for question in questions:
        say("Alice", question)
        say("assistant", str(engine.chat(question)))


def show_what_is_stored(server: EmbeddedValkey, connection: ValkeyConnection, sent: int) -> None:
    """Window and TTL through the library, then the list itself with nothing but GLIDE."""
    history = ValkeyChatMessageHistory(SESSION, connection=connection)
    console.print(f"  window  {sent} messages were added, the newest {len(history.messages)} kept")
    console.print(
        f"  TTL     {history.ttl_left():.3f} of {TTL} seconds left; each turn restarts it"
    )
    console.print(f"\n  [dim]LRANGE {history.key} 0 -1[/]")
    client = GlideClient.create(GlideClientConfiguration([NodeAddress(server.host, server.port)]))
    for element in client.lrange(history.key, 0, -1):
        console.print(JSON(element.decode(), indent=None), soft_wrap=True)
    client.close()


def continue_conversation(url: str) -> None:
    """What the second process does. It is told the server's address and nothing else."""
    chapter(f"LangChain, process {os.getpid()}: a second one, with only the server's address")
    model, _ = choose_model()
    with ValkeyConnection.from_url(url) as connection:
        talk_with_langchain(connection, model, ["What did I ask first?"])


def main() -> None:
    model, which_and_why = choose_model()
    console.print(f"Model: {escape(which_and_why)}.")
    with (
        EmbeddedValkey() as server,
        ValkeyConnection.from_url(server.url) as connection,
    ):
        console.print(f"Server: a temporary valkey-server at {server.url}.")

        chapter(f"LangChain, process {os.getpid()}")
        talk_with_langchain(
            connection,
            model,
            [
                "Hello, I am Alice. Our shop runs on Valkey in two regions.",
                "In how many regions does our shop run?",
            ],
        )

        second = [sys.executable, __file__, CONTINUE, server.url]
        subprocess.run(second, check=True)

        chapter("LlamaIndex, the same conversation")
        talk_with_llama_index(connection, model, ["What is my name?", "And what did I ask first?"])

        chapter("What is in Valkey now")
        show_what_is_stored(server, connection, sent=10)

    chapter("Recalled by meaning, from several sessions")
    from recall import recall  # after the rest, because the embedding model takes a second

    recall()
    console.print("\nThe servers are stopped.")


if __name__ == "__main__":
    if sys.argv[1:2] == [CONTINUE]:
        continue_conversation(sys.argv[2])
    else:
        main()
