"""The engine: leases and their fence, workers that die or come late, several at once, limits of tokens."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from assistants.models import Assistant, ToolCall
from assistants.models import Run as SeenRun
from assistants.server import engine, leases
from assistants.server.actions import cancel, create_run, submit
from assistants.server.auth import Caller
from assistants.server.bodies import content
from assistants.server.models import Assistant as Configured
from assistants.server.models import Message, Run, Step
from tests import factories
from tests.assistants.server.conftest import TOOLS

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

Script = list[dict[str, Any]]
TRIES = engine.RETRIES + 1
HELLO: Script = [{"say": "Hello."}]
CALL: Script = [{"when": {"turn": 1}, "calls": [{"name": "check_inbox"}]}, {"say": "Done."}]


@pytest.fixture
def caller(assistant: Assistant) -> Caller:
    return Caller(assistant, "caller")


@pytest.fixture
def begin(caller: Caller) -> Callable[..., Run]:
    """A queued run whose assistant follows a script."""

    def begin(script: Script, **given: Any) -> Run:
        owner = caller.assistant
        owner.connection = owner.connection or factories.a_connection(script)
        owner.save()
        configured = Configured.objects.create(owner=owner, model="m", tools=TOOLS)
        thread = {"messages": [{"role": "user", "content": content("Hi", "content")}]}
        return create_run(caller, None, configured, {"thread": thread} | given)

    return begin


def claimed() -> Run:
    run = leases.claim()
    assert run
    return run


def test_a_claimed_run_is_nobody_elses_until_its_lease_ends(begin: Callable[..., Run]) -> None:
    run = begin(HELLO)
    claimed()
    assert leases.claim() is None
    Run.objects.filter(pk=run.pk).update(due_at=timezone.now())
    again = claimed()
    assert (again.pk, again.attempts) == (run.pk, 2)


def test_a_worker_that_was_overtaken_changes_nothing(begin: Callable[..., Run]) -> None:
    run = begin(HELLO)
    slow = claimed()
    Run.objects.filter(pk=run.pk).update(due_at=timezone.now())
    engine.advance(claimed())
    engine.advance(slow)
    run.refresh_from_db()
    assert run.status == "completed"
    assert Message.objects.filter(run=run).count() == 1


def test_a_worker_that_starts_anew_frees_what_its_predecessor_held(begin: Callable[..., Run]) -> None:
    begin(HELLO)
    claimed()
    assert leases.free_leases("somebody else") == 0
    assert leases.free_leases(leases.worker_name()) == 1
    assert claimed().attempts == 2


def test_what_the_model_brings_after_a_cancel_is_dropped(begin: Callable[..., Run], caller: Caller) -> None:
    run = begin(HELLO)
    held = claimed()
    cancel(caller, run)
    engine.advance(held)
    run.refresh_from_db()
    assert run.status == "cancelled"
    assert not Message.objects.filter(run=run).exists()
    assert SeenRun.objects.get().status == "cancelled"


def test_a_turn_that_never_ends_is_given_up(begin: Callable[..., Run]) -> None:
    run = begin(HELLO)
    for _ in range(TRIES):
        claimed()
        Run.objects.update(due_at=timezone.now())
    assert engine.drain() == 1
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.last_error
    assert "4 attempts" in run.last_error["message"]


def test_a_new_turn_has_its_attempts_again(begin: Callable[..., Run], caller: Caller) -> None:
    run = begin(CALL)
    Run.objects.update(tries=TRIES - 1)
    engine.drain()
    submit(caller, run, [{"tool_call_id": Step.objects.get().calls[0]["id"], "output": "x"}])
    run.refresh_from_db()
    assert (run.status, run.tries) == ("queued", 0)


def test_a_model_that_only_ever_calls_tools_comes_to_an_end(
    begin: Callable[..., Run], caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "MOST_TURNS", 3)
    run = begin([{"calls": [{"name": "check_inbox"}]}])
    for _ in range(3):
        engine.drain()
        run.refresh_from_db()
        [call] = Step.objects.filter(run=run).order_by("-turn")[0].calls
        submit(caller, run, [{"tool_call_id": call["id"], "output": "x"}])
    engine.drain()
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.last_error
    assert "after 3 turns" in run.last_error["message"]


def test_an_error_of_our_own_fails_the_run_and_not_the_worker(begin: Callable[..., Run]) -> None:
    bad = begin([{"calls": 7}])
    assert engine.drain() == 1
    bad.refresh_from_db()
    assert bad.last_error == {"code": "server_error", "message": "The run failed on an internal error."}


def test_many_workers_do_each_turn_once(begin: Callable[..., Run]) -> None:
    runs = [begin(CALL) for _ in range(12)]
    worked: list[int] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            worked.append(engine.drain())
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(worked) == len(runs)
    assert Step.objects.count() == ToolCall.objects.count() == len(runs)
    assert set(Run.objects.values_list("status", "attempts")) == {("requires_action", 1)}


def test_of_many_submits_at_once_one_is_taken(begin: Callable[..., Run], caller: Caller) -> None:
    run = begin(CALL)
    engine.drain()
    call_id = Step.objects.get().calls[0]["id"]
    taken: list[str] = []
    refused: list[str] = []

    def hand_in(output: str) -> None:
        try:
            submit(caller, run, [{"tool_call_id": call_id, "output": output}])
            taken.append(output)
        except Exception as error:
            refused.append(str(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=hand_in, args=[str(n)]) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert set(refused) == {'Runs in status "queued" do not accept tool outputs.'}
    assert ToolCall.objects.get().output == taken[0] == Step.objects.get().calls[0]["output"]


def test_one_thread_never_has_two_active_runs(begin: Callable[..., Run], caller: Caller) -> None:
    run = begin(HELLO)
    engine.drain()
    configured = Configured.objects.get()
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            create_run(caller, run.thread, configured, {})
            outcomes.append("made")
        except Exception as error:
            outcomes.append(str(error)[:30])
        finally:
            connections.close_all()

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("made") == 1
    assert Run.objects.active().count() == 1


def test_a_run_started_twice_at_once_by_our_driver_is_made_once(assistant: Assistant) -> None:
    driver = Caller(assistant, "counterseal")
    row = SeenRun.objects.create(assistant=assistant, driver="counterseal")
    configured = Configured.objects.create(owner=assistant, model="m")
    made: list[str] = []

    def begin() -> None:
        try:
            made.append(
                create_run(
                    driver, None, configured, {"thread": {}, "metadata": {"counterseal_run": row.pk}}
                ).id
            )
        finally:
            connections.close_all()

    threads = [threading.Thread(target=begin) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 5
    assert len(set(made)) == 1
    assert SeenRun.objects.get().run_id == made[0]


@pytest.mark.parametrize("limit", ["max_prompt_tokens", "max_completion_tokens"])
def test_a_run_that_has_used_up_its_tokens_ends_incomplete(begin: Callable[..., Run], limit: str) -> None:
    run = begin(HELLO, **{limit: 300})
    Run.objects.update(prompt_tokens=300, completion_tokens=300)
    engine.drain()
    run.refresh_from_db()
    assert (run.status, run.incomplete_reason) == ("incomplete", limit)


def test_runs_are_taken_in_the_order_in_which_they_are_due(begin: Callable[..., Run]) -> None:
    late, early = begin(HELLO), begin(HELLO)
    Run.objects.filter(pk=early.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    assert [claimed().pk, claimed().pk] == [early.pk, late.pk]
