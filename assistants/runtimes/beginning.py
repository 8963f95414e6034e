"""How a run begins over the Assistants protocol: once, also when the reply to the first attempt was lost."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import openai
from django.utils import timezone

from assistants import tools
from assistants.models import Assistant, Run
from assistants.observe import OWN_ROW
from assistants.runtimes import lenient
from assistants.runtimes.clients import told
from assistants.runtimes.errors import Locked, Refused
from assistants.runtimes.lenient import Json
from assistants.runtimes.threads import Threads

WONT = (openai.BadRequestError, openai.ConflictError, openai.UnprocessableEntityError)
# each server says it in words of its own
LOCK = re.compile(r"\bactive\b|\bin[ _]progress\b|\block|\balready (has|running)\b", re.IGNORECASE)
# run servers whose runs bring no messages along, by the end of their host's name
NO_ADDITIONAL_MESSAGES = ("aliyuncs.com",)
# many servers tell whole seconds only, each by a clock of its own
SLACK = timedelta(seconds=2)


def begin_at_once(threads: Threads, run: Run) -> Json:
    """On a server that finds the run of a former attempt by itself."""
    return _create(threads, run, told=False)


def begin(threads: Threads, run: Run, *, again: bool) -> Json:
    """On any other server.

    A new thread is made first and kept, because a retry can list the runs of a thread while nobody lists
    threads. In a thread that is there the runs are looked at first: one may be that of a former attempt,
    and not every server has a lock.
    """
    is_new = not run.thread_id
    if is_new and _make_thread(threads, run):
        return _create(threads, run, told=True)
    runs = threads.runs(run.thread_id)
    if found := _tagged(run, runs):
        return found
    adds = not threads.host.endswith(NO_ADDITIONAL_MESSAGES)
    told = (again or is_new or not adds) and _is_told(threads, run, by_words=again or is_new)
    since = [one for one in runs if _is_since(run, one)]
    if told and adds and since and not lenient.metadata(since[0]):
        # no metadata are kept; but what it tells is there, and came with it or before it in a new thread
        return since[0]
    _check_free(run, runs)
    if not (told or adds):
        with _locking():
            threads.add_message(run.thread_id, _prompt(run))
    return _create(threads, run, told=told or not adds)


def _make_thread(threads: Threads, run: Run) -> bool:
    """With the prompt in it. False if another attempt was faster: then that thread is `run`'s."""
    made = threads.create_thread(_prompt(run))
    kept = Run.objects.filter(pk=run.pk, thread_id="", run_id="").update(thread_id=lenient.text(made["id"]))
    run.refresh_from_db(fields=["thread_id"])
    return bool(kept)


def _tagged(run: Run, runs: Sequence[Json]) -> Json | None:
    """The run of a former attempt."""
    return next((one for one in runs if lenient.metadata(one).get(OWN_ROW) == run.pk), None)


def _check_free(run: Run, runs: Sequence[Json]) -> None:
    for one in runs:
        if _is_active(one):
            active = lenient.text(one.get("id"))
            raise Locked(f"Thread {run.thread_id} already has an active run {active}.")


def _is_active(run: Json) -> bool:
    """Some notice only when they work on a run that it has expired."""
    expires_at = lenient.moment(run.get("expires_at"))
    return lenient.status(run) not in Run.ENDED and (expires_at is None or expires_at > timezone.now())


def _is_told(threads: Threads, run: Run, *, by_words: bool) -> bool:
    """A former attempt came as far as the prompt. By its text where metadata are not kept."""
    for message in threads.messages(run.thread_id):
        tag = lenient.metadata(message).get(OWN_ROW)
        is_same = by_words and not tag and lenient.said(message)["text"] == run.prompt
        if tag == run.pk or (is_same and _is_since(run, message)):
            return True
    return False


def _is_since(run: Run, made: Json) -> bool:
    """Not from before the first attempt; where the server doesn't say when, it may be."""
    at = lenient.moment(made.get("created_at"))
    return at is None or run.start_tried_at is None or at >= run.start_tried_at - SLACK


def _create(threads: Threads, run: Run, *, told: bool) -> Json:
    """`told`: the thread has the prompt already."""
    lost = {""}
    while True:
        assistant_id = _counterpart(threads, run, lost)
        try:
            return _ask_for(threads, run, assistant_id, told=told)
        except openai.NotFoundError:
            # either the thread is gone, or somebody deleted the assistant over there
            if len(lost) > 2 or threads.has_assistant(assistant_id):
                raise
        lost.add(assistant_id)


def _ask_for(threads: Threads, run: Run, assistant_id: str, *, told: bool) -> Json:
    options = {"assistant_id": assistant_id, "metadata": _metadata(run)}
    # all that counts is named here: the assistant's keys may change its counterpart over there.
    # Somebody else's assistant, whose run we took over, stays as it is
    if assistant_id == run.assistant.remote_id:
        options |= _configuration(run)
    with _locking():
        if not run.thread_id:
            return threads.create_thread_and_run(options, _prompt(run))
        messages = {} if told else {"additional_messages": [_prompt(run)]}
        return threads.create_run(run.thread_id, options | messages)


@contextmanager
def _locking() -> Iterator[None]:
    """What a thread answers that takes nothing now, apart from what it will never take."""
    try:
        yield
    except WONT as error:
        text = told(error)
        is_locked = isinstance(error, openai.ConflictError) or LOCK.search(text)
        raise (Locked if is_locked else Refused)(text) from error


def _counterpart(threads: Threads, run: Run, lost: Set[str]) -> str:
    """The assistant at the far side: of the run that this one follows, or ours, made at the first start."""
    if run.follows and run.follows.remote_assistant_id not in lost:
        return run.follows.remote_assistant_id
    assistant = run.assistant
    if assistant.remote_id in lost:
        made = threads.create_assistant({"name": assistant.name, **_configuration(run)})
        same = Assistant.objects.filter(pk=assistant.pk, remote_id=assistant.remote_id)
        same.update(remote_id=lenient.text(made["id"]))
        assistant.refresh_from_db(fields=["remote_id"])
    return assistant.remote_id


def _configuration(run: Run) -> dict[str, Any]:
    return {
        "model": _model(run),
        "instructions": run.assistant.instructions,
        "tools": tools.schemas("assistants"),
    }


def _model(run: Run) -> str:
    connection = run.connection
    asked = (connection.model if connection else "") or "default"
    # our own server maps it itself
    if connection is None or connection.is_embedded:
        return asked
    return str(connection.models_served.get(asked, asked))


def _prompt(run: Run) -> dict[str, Any]:
    return {"role": "user", "content": run.prompt, "metadata": {OWN_ROW: run.pk}}


def _metadata(run: Run) -> dict[str, str]:
    named = {OWN_ROW: run.pk, "mailbox_id": run.mailbox_id, "email_id": run.email_id}
    if run.cause == Run.Cause.FOLLOW_UP:
        named["followup_id"] = run.pk
    return {key: value for key, value in named.items() if value}
