"""The list of runs, and what a person does with one: start, adopt, retry, tell it more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from approvals import actions, tasks
from approvals.models import OutboxEntry, User
from assistants.models import Assistant, Run, ToolCall
from assistants.observe import SeenCall
from assistants.runtimes import Snapshot
from mailboxes.models import Mailbox
from tests.approvals.far_side import FarSide
from tests.approvals.living import a_waiting_run, an_inbound
from tests.approvals.views.running import INBOX, OTHER, SEND, a_run, held, shown, work
from tests.factories import a_connection, a_mailbox, a_person, an_assistant


def rows(client: Client, query: str = "") -> list[Run]:
    return [row.run for row in client.get(f"/runs{query}").context["listing"].rows]


def press(client: Client, path: str, **form: object) -> str:
    """Post, and read what the page says then."""
    response = client.post(path, form, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def aged(run: Run, **ago: int) -> Run:
    """Its calls were asked for so long ago."""
    ToolCall.objects.filter(run=run).update(created_at=timezone.now() - timedelta(**ago))
    return run


@pytest.mark.database
class TestList:
    def test_an_empty_list_says_how_a_run_comes_about(self, rita: Client) -> None:
        assert "No run yet" in shown(rita, "/runs")

    def test_runs_are_narrowed_by_state_assistant_and_thread(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        waiting = a_waiting_run(assistant, mailbox, SEND)
        other = a_waiting_run(an_assistant(mailboxes=[mailbox]), mailbox)
        Run.objects.filter(pk=other.pk).update(status="gone")
        assert rows(rita) == [other, waiting]
        assert rows(rita, "?state=waiting") == [waiting]
        assert rows(rita, "?state=failed") == [other]
        assert rows(rita, f"?assistant={assistant.pk}") == [waiting]
        assert rows(rita, f"?thread={other.thread_id}") == [other]
        assert "No run fits" in shown(rita, f"/runs?state=completed&assistant={assistant.pk}")

    def test_what_a_person_should_look_at_has_a_filter_and_a_count_in_the_rail(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        assert "No run needs attention" in shown(rita, "/runs?state=attention")
        run = a_waiting_run(assistant, mailbox, SEND)
        a_waiting_run(assistant, mailbox, SEND)
        Run.objects.filter(pk=run.pk).update(alert="The outputs cannot be handed over: 401")
        assert rows(rita, "?state=attention") == [run]
        assert 'Runs <span class="n w">1</span>' in shown(rita, "/")

    @pytest.mark.parametrize(("longer", "count"), [("1h", 2), ("4h", 1), ("1d", 0), ("nonsense", 3)])
    def test_runs_that_wait_for_long_are_found(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, longer: str, count: int
    ) -> None:
        for minutes in (20, 120, 600):
            aged(a_waiting_run(assistant, mailbox, SEND), minutes=minutes)
        ended = aged(a_waiting_run(assistant, mailbox, SEND), days=9)
        Run.objects.filter(pk=ended.pk).update(status="completed")
        assert len(rows(rita, f"?state=waiting&longer={longer}")) == count

    def test_a_run_waits_since_its_newest_turn_and_a_plan_since_it_was_made(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = aged(a_run(foreign, mailbox, far_side, INBOX), days=3)
        work()
        far_side.becomes(run, "requires_action", SeenCall("call_x", *OTHER))
        Run.objects.update(sync_due_at=timezone.now())
        work()
        planned = actions.send_follow_up(run, "The customer called.", by=reviewer)
        assert rows(rita, "?longer=1h") == []
        first, second = rows(rita)
        assert (first, second) == (planned, run)
        assert first.waiting_since == planned.created_at  # type: ignore[attr-defined]
        assert second.waiting_since == run.calls.get(call_id="call_x").created_at  # type: ignore[attr-defined]

    def test_a_row_says_what_it_is_about_and_how_far_it_is(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        email = an_inbound(mailbox, subject="Broken pump")
        run = a_waiting_run(assistant, mailbox, SEND, INBOX)
        Run.objects.filter(pk=run.pk).update(mailbox_id=mailbox.pk, email_id=email.pk)
        run.calls.filter(name="check_inbox").update(output="{}", answered_at=timezone.now())
        page = shown(rita, "/runs")
        for said in ("Broken pump", mailbox.address, "1 of 2", "send_email open", "Support Agent"):
            assert said in page

    @pytest.mark.parametrize("count", [1, 3])
    def test_the_list_costs_the_same_however_long_it_is(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, count: int,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:  # fmt: skip
        for _ in range(count):
            run = a_waiting_run(assistant, mailbox, ("read_email", "{}"), ("send_email", "{}"))
            mail = an_inbound(mailbox)
            Run.objects.filter(pk=run.pk).update(mailbox_id=mailbox.pk, email_id=mail.pk, alert="Look!")
        # session, user; runs, their calls, mailboxes, causes; assistants to filter by; five counts
        with django_assert_num_queries(12):
            rita.get("/runs?longer=&state=waiting")

    def test_the_list_goes_on_behind_its_last_row_with_its_filters(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = [a_waiting_run(assistant, mailbox, SEND) for _ in range(3)]
        monkeypatch.setattr("approvals.views.http.newest_first.__defaults__", (2,))
        first = rita.get("/runs?state=waiting").context["listing"].page
        assert list(first.rows) == [runs[2], runs[1]]
        assert "state=waiting" in first.older_url
        assert rows(rita, first.older_url) == [runs[0]]

    def test_an_outsider_finds_no_run(self, eve: Client, assistant: Assistant, mailbox: Mailbox) -> None:
        run = a_waiting_run(assistant, mailbox)
        assert eve.get(f"/runs/{run.pk}").status_code == 404
        assert rows(eve) == []
        for act in ("adopt", "retry", "follow-up"):
            assert eve.post(f"/runs/{run.pk}/{act}").status_code == 404


class TestStarting:
    def test_a_person_starts_a_run(
        self, rita: Client, otto: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        assert "No assistant can be run from here" in shown(rita, "/runs/start")
        Assistant.objects.filter(pk=assistant.pk).update(connection=a_connection())
        form = {"assistant": assistant.pk, "mailbox": mailbox.pk, "prompt": "Write to the customer."}
        assert otto.post("/runs/start", form).status_code == 403
        response = rita.post("/runs/start", form)
        run = Run.objects.get()
        assert response.headers["Location"] == f"/runs/{run.pk}"
        assert run.prompt == "Write to the customer."

    def test_a_run_is_not_started_where_its_assistant_does_not_work(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        Assistant.objects.filter(pk=assistant.pk).update(connection=a_connection())
        elsewhere = a_mailbox()
        an_assistant(mailboxes=[elsewhere], connection=a_connection())
        form = {"assistant": assistant.pk, "mailbox": elsewhere.pk, "prompt": "Write."}
        assert rita.post("/runs/start", form).status_code in (200, 403)
        assert not Run.objects.exists()


class TestAdopting:
    def test_a_run_of_its_caller_is_adopted_after_a_second_look(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_waiting_run(foreign, mailbox, SEND, driver="caller")
        far_side.begin(run, *run.calls.all())
        page = shown(rita, f"/runs/{run.pk}")
        assert "submits are refused" in page
        assert "Adopt it first" in page  # why it cannot be told more yet
        assert "Counterseal answers it from now on" in press(rita, f"/runs/{run.pk}/adopt")
        run.refresh_from_db()
        assert (run.driver, run.cause) == ("counterseal", "adopted")
        assert "adopt-dialog" not in shown(rita, f"/runs/{run.pk}")

    def test_a_run_that_we_never_saw_is_adopted_by_its_ids(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        calls = [SeenCall("call_1", *SEND)]
        far_side.runs["run_theirs"] = Snapshot(
            "run_theirs", "thread_theirs", "asst_1", "requires_action", calls
        )
        form = {"assistant": foreign.pk, "thread_id": "thread_theirs", "run_id": " run_theirs "}
        response = rita.post("/runs/adopt", form)
        run = Run.objects.get(run_id="run_theirs")
        assert response.headers["Location"] == f"/runs/{run.pk}"
        tasks.sync_runs()
        assert held().run == run

    @pytest.mark.parametrize("fault", ["", "down", "refused", "elsewhere", "ended"])
    def test_why_a_run_is_not_adopted_is_said_on_the_page(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide, fault: str
    ) -> None:
        form = {"assistant": foreign.pk, "thread_id": "thread_theirs", "run_id": "run_theirs"}
        if fault == "ended":
            far_side.runs["run_theirs"] = Snapshot("run_theirs", "thread_theirs", "asst_1", "completed")
        if fault == "elsewhere":
            form["assistant"] = an_assistant(mailboxes=[mailbox]).pk  # it has no connection
        says = {
            "": "There is no run run_theirs in thread thread_theirs.",
            "down": "connection refused",
            "refused": "401 the key was revoked",
            "elsewhere": "not one of the available choices",
            "ended": "This run is completed: there is nothing left to answer.",
        }
        with far_side.fault(fault):
            assert says[fault] in press(rita, "/runs/adopt", **form)

    @pytest.mark.parametrize("bad", [".", "..", "a/b", "a b", "a\x1bb"])
    @pytest.mark.parametrize("name", ["thread_id", "run_id"])
    def test_what_is_no_id_is_asked_of_no_server(
        self, rita: Client, foreign: Assistant, name: str, bad: str
    ) -> None:
        form = {"assistant": foreign.pk, "thread_id": "thread_theirs", "run_id": "run_theirs", name: bad}
        assert "This is not an id as run servers make them." in press(rita, "/runs/adopt", **form)

    def test_without_an_assistant_there_is_nothing_to_adopt_for(self, rita: Client) -> None:
        assert "There is no assistant to adopt a run for" in shown(rita, "/runs/adopt")

    def test_a_run_about_somebody_elses_mailbox_is_not_found(
        self, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        assistant.connection = a_connection()
        assistant.save()
        other = a_mailbox()
        assistant.mailbox_links.create(mailbox=other)
        run = a_waiting_run(assistant, mailbox, driver="caller")
        Run.objects.filter(pk=run.pk).update(mailbox_id=mailbox.pk)
        client = Client()
        client.force_login(
            a_person("ron@acme.test", "reviewer", mailboxes=[other]),
            backend="django.contrib.auth.backends.ModelBackend",
        )
        form = {"assistant": assistant.pk, "thread_id": run.thread_id, "run_id": run.run_id}
        assert "within your reach" in press(client, "/runs/adopt", **form)
        run.refresh_from_db()
        assert run.driver == "caller"


class TestRetrying:
    def test_a_dead_resume_is_put_before_a_person_who_retries_it(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        assert "retry-dialog" not in shown(rita, f"/runs/{run.pk}")
        actions.reject(held(), by=reviewer, reason="no")
        with far_side.fault("refused"):
            work()
        page = shown(rita, f"/runs/{run.pk}")
        assert "The outputs could not be handed over: 401 the key was revoked" in page
        assert "attempts to hand over its outputs failed" in page
        assert "the 1 output that it is owed" in page
        assert OutboxEntry.objects.filter(kind="resume_run", done_at=None).exists()
        assert "Tried again." in press(rita, f"/runs/{run.pk}/retry")
        work()
        page = shown(rita, f"/runs/{run.pk}")
        assert "handed over" in page
        assert "retry-dialog" not in page

    def test_a_run_of_its_caller_is_not_retried(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = a_waiting_run(assistant, mailbox, SEND, driver="caller")
        assert "adopt it first" in press(rita, f"/runs/{run.pk}/retry")


class TestTellingMore:
    def test_a_follow_up_says_when_it_is_told(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        assert "It is told when this run has ended" in shown(rita, f"/runs/{run.pk}")
        assert "See it" in press(rita, f"/runs/{run.pk}/follow-up", text="The customer called.")
        planned = Run.objects.get(follows=run)
        work()
        page = shown(rita, f"/runs/{planned.pk}")
        assert "Waits for its thread" in page
        assert f"/runs/{run.pk}" in page
        actions.reject(held(), by=reviewer, reason="no")
        work()
        far_side.becomes(run, "completed")
        Run.objects.update(sync_due_at=timezone.now())
        work()
        assert far_side.started == [(run.thread_id, "The customer called.")]

    def test_behind_another_run_it_is_told_when_that_has_ended(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox
    ) -> None:
        ended, active = (a_waiting_run(foreign, mailbox) for _ in range(2))
        Run.objects.filter(pk=ended.pk).update(status="completed", ended_at=timezone.now())
        Run.objects.update(thread_id="thread_shared")
        page = shown(rita, f"/runs/{ended.pk}")
        assert "It is told when its thread is free" in page
        assert f'href="/runs/{active.pk}"' in page

    def test_in_a_free_thread_it_is_told_at_once(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_waiting_run(foreign, mailbox)
        Run.objects.filter(pk=run.pk).update(status="completed", ended_at=timezone.now())
        assert "Its thread is free: it is told at once." in shown(rita, f"/runs/{run.pk}")

    @pytest.mark.parametrize("text", ["", "   ", "x" * 10_001])
    def test_nothing_to_say_is_refused_with_a_sentence(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, text: str
    ) -> None:
        run = a_waiting_run(assistant, mailbox, SEND)
        assert "Say what the run is to be told" in press(rita, f"/runs/{run.pk}/follow-up", text=text)
        assert Run.objects.count() == 1

    def test_a_run_without_a_thread_cannot_be_told_more_and_says_so(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        Assistant.objects.filter(pk=assistant.pk).update(connection=a_connection())
        assistant.refresh_from_db()
        run = actions.start_run(assistant, "Write.", mailbox, by=reviewer)
        assert "This run has not begun" in shown(rita, f"/runs/{run.pk}")
        assert "has no thread yet" in press(rita, f"/runs/{run.pk}/follow-up", text="More.")


@pytest.mark.parametrize("act", ["adopt", "retry", "follow-up"])
class TestWhoMay:
    def test_an_auditor_sees_why_not_and_is_refused(
        self, otto: Client, foreign: Assistant, mailbox: Mailbox, act: str, far_side: FarSide
    ) -> None:
        run = a_waiting_run(foreign, mailbox, SEND, driver="caller" if act == "adopt" else "counterseal")
        Run.objects.filter(pk=run.pk).update(alert="It cannot be handed over.")
        page = shown(otto, f"/runs/{run.pk}")
        assert "takes the administrator or the reviewer role" in page or "Adopt it first" in page
        assert "<dialog id=" not in page.replace('<dialog id="keys"', "")
        assert otto.post(f"/runs/{run.pk}/{act}", {"text": "More."}).status_code == 403
        run.refresh_from_db()
        assert run.alert

    def test_an_act_takes_a_post(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, act: str
    ) -> None:
        run = a_waiting_run(assistant, mailbox, SEND)
        assert rita.get(f"/runs/{run.pk}/{act}").status_code == 405


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("state=lost", "is no state of a run"),
        ("longer=9w", "is no length of time"),
        ("assistant=agt_nobody", "no such assistant within your reach"),
    ],
)
def test_a_filter_that_means_nothing_is_said(rita: Client, query: str, sentence: str) -> None:
    assert sentence in rita.get(f"/runs?{query}").content.decode()
    assert sentence not in rita.get("/runs?state=waiting&longer=1h").content.decode()
