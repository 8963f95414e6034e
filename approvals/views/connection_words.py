"""Connections in words: what stands behind a protocol, what it can do, what each setting means."""

from __future__ import annotations

from collections.abc import Iterator

from approvals.forms import SECRETS_OF
from assistants.models import Connection
from assistants.runtimes import abilities, clients
from assistants.server import engine
from assistants.server.chat import ask

Protocol, HoldPolicy = Connection.Protocol, Connection.HoldPolicy

# what is behind it, and where its runs are
PROTOCOLS = {
    Protocol.CHAT_COMPLETIONS: (
        "Chat Completions endpoint",
        "Runs are served here, on Counterseal's own Assistants server, and each turn is asked of a model: at "
        "OpenAI, Azure, vLLM, Ollama, llama.cpp, LiteLLM or whatever else speaks Chat Completions.",
    ),
    Protocol.ASSISTANTS: (
        "Foreign Assistants server",
        "Threads and runs live at another server that speaks Assistants v2: Azure Foundry classic, Alibaba "
        "Model Studio, or one of your own.",
    ),
    Protocol.RESPONSES: (
        "Responses and Conversations",
        "Each answer of the model is a response in a conversation at OpenAI, Azure or a gateway. A call that "
        "waits for a person is waiting here, and the conversation with it.",
    ),
    Protocol.AGENTS: (
        "Agents API",
        "Sessions live at OpenAI or at a server like it. Each tool result is an event that the session takes "
        "when it is ready.",
    ),
    Protocol.SCRIPTED: (
        "Script, no model",
        "Runs are served here and answered by a fixed script, for demos and tests. No model is asked.",
    ),
}
# what a run hears of a call that nobody has decided yet, and when
HOLD_POLICIES = {
    "": (
        "as the run needs",
        "Hold with a deadline where the run says when it expires, and hold where it does not.",
    ),
    HoldPolicy.HOLD: (
        "hold",
        "The run hears nothing until a person has decided. If it expires first, it ends, and a follow-up run "
        "tells what was decided.",
    ),
    HoldPolicy.HOLD_WITH_DEADLINE: (
        "hold_with_deadline",
        "The run waits; 90 seconds before it expires it hears “not sent, a person will decide”, and goes on. "
        "A follow-up run tells what was decided.",
    ),
    HoldPolicy.PENDING_NOW: (
        "pending_now",
        "The run hears “not sent, a person will decide” at once, and goes on. A follow-up run tells what was "
        "decided.",
    ),
}
HINTS = {
    "name": "Documents for provisioning find the connection by this name.",
    "base_url": "Up to the part that all its addresses share, such as https://api.openai.com/v1. "
    "Moving to another server clears the API key.",
    "api_version": "Sent as ?api-version=… with every request, as Azure wants it. Empty: not sent.",
    "api_key": "Kept encrypted and shown never again. Empty: none is sent.",
    "model": "As the server calls it.",
    "timeout": "Seconds without a sign from the server, from 1 to 600.",
    "retries": "How often a turn that failed is asked again, from 0 to 10.",
    "polls_per_minute": "At most. After a decision or a webhook it is asked at once.",
    "script": "A list of {when, say or calls, delay_ms}; the first whose “when” fits answers the turn.",
}
# of a field that is left empty
DEFAULTS = {
    ("timeout", True): f"Empty: {ask.TIMEOUT:g}.",
    ("timeout", False): f"Empty: {clients.TIMEOUT:g}.",
    ("retries", True): f"Empty: {engine.RETRIES}.",
}
# by whether it stands behind our own server
MAP_HINTS = {
    True: "Programs ask for a model by name. A name that is not here gets the model above.",
    False: "Runs ask for the model above, by the name that stands here for it.",
}
LABELS = {"api_key": "API key", "webhook_secret": "Webhook signing secret"}


def in_words(row: Connection) -> Iterator[str]:
    """What its far side can do, as far as waiting for people goes."""
    can = abilities.OF[row.protocol]
    yield (
        "A run expires while it waits, and says when."
        if can.expires
        else "A run waits for a person as long as it takes."
    )
    if can.tells:
        yield "Tells by itself when a run changes; nobody polls."
    else:
        if row.webhook_secret_encrypted:
            yield "Tells by webhook when a run changes."
        elif "webhook_secret" in SECRETS_OF[Protocol(row.protocol)]:
            yield "Would tell by webhook when a run changes, once one is set up."
        yield f"Is asked for news at most {row.polls_per_minute} times a minute, all its runs together."
    yield (
        "Takes the answer to each call as it comes."
        if can.partial
        else "Takes the answers to a turn's calls together."
    )
    yield (
        "The same answers twice count once."
        if can.repeats
        else "After a lost reply the run is looked at before anything is repeated."
    )
    if can.locks:
        yield "A thread takes nothing new while a run in it is under way: mail waits its turn."


def hint(name: str, row: Connection) -> str:
    return f"{HINTS[name]} {DEFAULTS.get((name, row.is_embedded), '')}".strip()
