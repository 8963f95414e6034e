"""One run as it happened, how it stands, and the ways from it and to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from approvals import actions, gate, tasks
from approvals.models import ConversationThread, OutboundMessage, User
from assistants.models import ApiKey, Assistant, Connection, Run, ToolCall
from audit.models import Event
from mailboxes.models import Email, Mailbox
from tests.approvals import living
from tests.approvals.far_side import FarSide
from tests.approvals.views.running import (
    INBOX,
    OTHER,
    SEND,
    a_run,
    entries,
    held,
    shown,
    told,
    work,
)
from tests.factories import a_mailbox, a_person
from tests.servers import RecordingServer


def end(far: FarSide, run: Run, status: str, said: str = "") -> None:
    """The far side brings it to its end."""
    far.becomes(run, status)
    if said:
        at = timezone.now().replace(microsecond=0).isoformat()
        transcript = [{"role": "assistant", "text": said, "at": at}]
        far.runs[run.run_id] = replace(far.runs[run.run_id], transcript=transcript)
    Run.objects.update(sync_due_at=timezone.now())
    work()


@pytest.mark.database
class TestTimeline:
    def test_it_tells_what_was_called_held_decided_sent_told_and_said_in_order(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        smtp_server: RecordingServer,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND, INBOX)
        living.approved(held(), reviewer)
        work()
        end(far_side, run, "completed", "Done.")
        assert told(rita, run) == [
            "Run started",
            "send_email",
            "check_inbox",
            "Held because",
            "Run waits for its outputs",
            "Approved",
            "Recipients accepted, handing over",
            "Handed to the mail server",
            "Answer kept for the run",
            "Output submitted to the run",
            "The assistant said",
            "Run completed",
        ]
        page = shown(rita, f"/runs/{run.pk}")
        assert reviewer.email in page
        assert "status: sent" in page
        assert "<dt>subject</dt><dd>One</dd>" in page

    def test_each_entry_leads_to_its_mail_and_its_event_and_they_lead_back(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        message = held()
        page = shown(rita, f"/runs/{run.pk}")
        of_log = [entry for entry in entries(rita, run) if entry.step.seq]
        assert {entry.step.title for entry in of_log} >= {"send_email", "Held because"}
        for entry in of_log:
            assert f'href="/log/events/{entry.step.seq}"' in page
            assert f'href="/runs/{run.pk}"' in shown(rita, f"/log/events/{entry.step.seq}")
        assert {entry.email.pk for entry in of_log if entry.email} == {message.pk}
        story = shown(rita, f"/messages/{message.pk}")
        assert f'href="/runs/{run.pk}"' in story
        assert f'href="/log/events/{of_log[1].step.seq}"' in story
        assert f'href="/messages/{message.pk}"' in shown(rita, f"/log/events/{of_log[1].step.seq}")

    def test_a_wait_of_days_is_a_line_of_its_own_and_each_day_has_a_head(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND)
        ago = timezone.now() - timedelta(days=2, hours=4, minutes=10)
        Run.objects.filter(pk=run.pk).update(created_at=ago)
        ToolCall.objects.update(created_at=ago)
        page = shown(rita, f"/runs/{run.pk}")
        assert "waited 2 d 4 h" in page
        assert page.count('class="day"') == 2
        assert "(2 d 4 h)" in page

    def test_an_answer_for_now_is_marked_and_what_came_later_is_told_by_a_follow_up(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, lives=60)
        work()
        page = shown(rita, f"/runs/{run.pk}")
        assert "answered for now" in page
        end(far_side, run, "completed")
        actions.reject(held(), by=reviewer, reason="no")
        work()
        assert [title for title in told(rita, run) if "nswer" in title or "ollow" in title] == [
            "Answered for now",
            "Kept for a follow-up",
            "Follow-up planned",
        ]
        follow_up = Run.objects.get(follows=run)
        assert f'href="/runs/{follow_up.pk}"' in shown(rita, f"/runs/{run.pk}")
        page = shown(rita, f"/runs/{follow_up.pk}")
        assert "It follows" in page
        assert f'href="/runs/{run.pk}"' in page
        assert told(rita, follow_up)[0] == "Planned"

    def test_a_run_that_is_gone_conflicts_and_retries_tell_so(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, OTHER)
        Run.objects.filter(pk=run.pk).update(alert="Look!")
        actions.retry_resume(run, by=reviewer)
        actions.reject(held(), by=reviewer, reason="no")
        actions.reject(held(), by=reviewer, reason="no")
        call = run.calls.order_by("position").first()
        assert call
        far_side.journal.append((run.run_id, call.call_id, '"somebody else"'))
        end(far_side, run, "expired")
        titles = told(rita, run)
        for title in ("Retried by a person", "Answered by somebody else", "Run ended, perhaps untold"):
            assert title in titles
        page = shown(rita, f"/runs/{run.pk}")
        assert "answered elsewhere" in page
        assert "Its server shows an output that is not ours." in page
        assert "Expired" in page

    def test_a_run_that_a_person_began_says_who(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = actions.start_run(foreign, "Write.", mailbox, by=reviewer)
        planned, prompt = entries(rita, run)
        assert (planned.step.title, planned.step.who) == ("Planned", reviewer.email)
        assert (prompt.step.title, prompt.text) == ("The assistant will be told", "Write.")
        work()
        actions.start_run(foreign, "Write another.", mailbox, by=reviewer)
        run.refresh_from_db()
        end(far_side, run, "completed")
        assert told(rita, run) == ["Planned", "Run started", "Run completed"]

    def test_what_was_said_before_it_in_its_thread_stands_apart(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = living.a_waiting_run(foreign, mailbox, SEND)
        at = run.created_at
        said = [("user", -90, "Old question"), ("assistant", -80, "Old answer"), ("user", -5, "New question"),
                ("assistant", 5, "x" * 700)]  # fmt: skip
        Run.objects.filter(pk=run.pk).update(
            transcript=[
                {"role": role, "text": text, "at": (at + timedelta(seconds=s)).isoformat()}
                for role, s, text in said
            ]
        )
        page = shown(rita, f"/runs/{run.pk}")
        assert "2 messages of before in this thread" in page
        assert [entry.text[:12] for entry in entries(rita, run) if not entry.call and entry.text] == [
            "New question",
            "x" * 12,
        ]

    def test_it_costs_the_same_however_much_happened(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:  # fmt: skip
        short = a_run(foreign, mailbox, far_side, SEND)
        long = a_run(foreign, mailbox, far_side, *[SEND, OTHER, INBOX] * 5)
        for message in OutboundMessage.objects.pending().order_by("-pk")[:8]:
            actions.reject(message, by=reviewer, reason="no")
        for run in (short, long):
            # session, user; run, calls, mail and its cause; its promise; may I drive it; events, their
            # actors of each kind; follow-ups; mailbox; conversations; who is ahead; five counts
            with django_assert_num_queries(19 + (run == long)):
                rita.get(f"/runs/{run.pk}")

    def test_of_a_long_story_the_newest_part_is_shown(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        run = a_run(foreign, mailbox, far_side, SEND)
        monkeypatch.setattr("approvals.views.timeline.SHOWN", 1)
        assert "Only the newest entries are shown" in shown(rita, f"/runs/{run.pk}")
        assert "Held because" not in told(rita, run)

    def test_an_output_of_any_length_leaves_the_page_small(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, INBOX)
        run.calls.update(output='"' + "y" * 190_000 + '"')
        page = shown(rita, f"/runs/{run.pk}")
        assert len(page) < 60_000
        assert "more characters are not shown here" in page


@pytest.mark.database
class TestReach:
    def test_mail_of_another_mailbox_is_left_out_of_the_story(
        self, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        """A run about no mailbox may write from several, and this person sees one of them."""
        other = a_mailbox()
        foreign.mailbox_links.create(mailbox=other)
        secret = SEND[1].replace("One", "Secret").replace("{", f'{{"mailbox_id": "{other.pk}", ', 1)
        seen = SEND[1].replace("{", f'{{"mailbox_id": "{mailbox.pk}", ', 1)
        run = a_run(foreign, mailbox, far_side, ("send_email", seen), ("send_email", secret))
        client = Client()
        client.force_login(
            a_person("ron@acme.test", "reviewer", mailboxes=[mailbox]),
            backend="django.contrib.auth.backends.ModelBackend",
        )
        held_ones = [entry for entry in entries(client, run) if entry.step.title == "Held because"]
        assert [entry.email and entry.email.subject for entry in held_ones] == ["One"]
        hidden = Event.objects.get(action="message.held", mailbox_id=other.pk)
        assert client.get(f"/log/events/{hidden.seq}").status_code == 404
        waiting = Event.objects.get(action="run.requires_action")
        assert client.get(f"/log/events/{waiting.seq}").status_code == 200

    def test_an_outsider_reads_no_event(self, eve: Client, held: OutboundMessage) -> None:
        for seq in Event.objects.values_list("seq", flat=True):
            assert eve.get(f"/log/events/{seq}").status_code == 404

    def test_an_event_of_mail_without_a_run_leads_to_the_mail_and_its_next_one(
        self, otto: Client, held: OutboundMessage, reviewer: User
    ) -> None:
        actions.reject(held, by=reviewer, reason="no")
        first, second = Event.objects.filter(email_id=held.pk).order_by("seq")
        page = shown(otto, f"/log/events/{first.seq}")
        assert f'href="/messages/{held.pk}"' in page
        assert f'rel="next" href="/log/events/{second.seq}"' in page

    def test_an_event_of_a_plan_leads_to_its_run(
        self, otto: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User
    ) -> None:
        run = actions.start_run(foreign, "Write.", mailbox, by=reviewer)
        planned = Event.objects.get(action="run.requested")
        assert f'href="/runs/{run.pk}"' in shown(otto, f"/log/events/{planned.seq}")

    def test_an_event_that_is_not_there_is_not_found(self, rita: Client) -> None:
        assert rita.get("/log/events/99999999999999999999").status_code == 404

    def test_events_of_a_run_are_read_one_after_the_other(
        self, otto: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        a_run(foreign, mailbox, far_side, SEND)
        first, second, third = (
            Event.objects.exclude(run_id="").order_by("seq").values_list("seq", flat=True)[:3]
        )
        page = shown(otto, f"/log/events/{second}")
        assert f'rel="prev" href="/log/events/{first}"' in page
        assert f'rel="next" href="/log/events/{third}"' in page


class TestStanding:
    def lines(self, client: Client, run: Run) -> str:
        return " ".join(map(str, client.get(f"/runs/{run.pk}").context["account"].standing.lines))

    def test_it_says_what_it_waits_for(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, OTHER, INBOX)
        assert "Waits for 2 decisions since" in self.lines(rita, run)
        living.in_doubt(held(), reviewer)
        line = self.lines(rita, run)
        assert "1 delivery that a person must settle and 1 decision" in line or "1 decision" in line

    def test_it_says_when_it_expires_and_what_happens_then(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        run = a_run(foreign, mailbox, far_side, SEND, lives=600)
        assert "gets an answer for now" in self.lines(rita, run)
        Connection.objects.update(hold_policy="hold")
        line = self.lines(rita, run)
        assert "Expires" in line
        assert "for now" not in line

    def test_a_run_of_its_caller_waits_for_its_caller(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, INBOX, INBOX, driver="caller")
        assert "Waits for 2 answers of its caller since" in self.lines(rita, run)

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            ("queued", "Works since"),
            ("completed", "Completed"),
            ("gone", "its server knows it no more"),
            ("expired", "Expired"),
            ("incomplete", "Ended before it was complete"),
        ],
    )
    def test_each_state_has_its_sentence(
        self, rita: Client, assistant: Assistant, mailbox: Mailbox, status: str, says: str
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, INBOX)
        ended = None if status == "queued" else timezone.now()
        Run.objects.filter(pk=run.pk).update(status=status, ended_at=ended, last_error="Why.")
        assert says in self.lines(rita, run)
        assert "Why." in shown(rita, f"/runs/{run.pk}")

    def test_a_start_that_fails_says_when_it_is_tried_again(
        self, rita: Client, foreign: Assistant, mailbox: Mailbox, reviewer: User, far_side: FarSide
    ) -> None:
        run = actions.start_run(foreign, "Write.", mailbox, by=reviewer)
        assert "It begins in a moment." in self.lines(rita, run)
        with far_side.fault("down"):
            tasks.drain()
            tasks.drive()
        line = self.lines(rita, run)
        assert "1 attempt to start it failed; the next is at" in line
        assert "connection refused" in line


class TestThreadOfAConversation:
    @pytest.fixture
    def answering(self, foreign: Assistant, mailbox: Mailbox) -> Assistant:
        Mailbox.objects.update(on_inbound="run")
        foreign.mailbox_links.update(answers_inbound=True)
        mailbox.refresh_from_db()
        return foreign

    def arrives(self, mailbox: Mailbox, subject: str, answers: str = "") -> Email:
        reference = f"In-Reply-To: {answers}\r\n" if answers else ""
        data = (
            f"From: c@northwind.example\r\nTo: {mailbox.address}\r\nSubject: {subject}\r\n{reference}"
            f"Message-ID: <{subject.replace(' ', '')}@northwind.example>\r\n\r\nHello\r\n"
        )
        gate.receive(mailbox, "c@northwind.example", mailbox.address, data.encode())
        work()
        return Email.objects.get(subject=subject)

    def test_mail_and_run_show_the_thread_in_which_their_conversation_goes_on(
        self, rita: Client, answering: Assistant, mailbox: Mailbox, far_side: FarSide
    ) -> None:
        first = self.arrives(mailbox, "Broken pump")
        second = self.arrives(mailbox, "Still broken", "<Brokenpump@northwind.example>")
        known = ConversationThread.objects.get()
        for mail in (first, second):
            page = shown(rita, f"/messages/{mail.pk}")
            assert known.thread_id in page
            assert f'href="/runs/{Run.objects.get(email_id=mail.pk).pk}"' in page
        run, later = Run.objects.order_by("created_at")
        page = shown(rita, f"/runs/{run.pk}")
        assert f"?q=conversation%3A{known.conversation_id}" in page
        assert f'href="/messages/{first.pk}"' in page
        assert "Waits for its thread" in shown(rita, f"/runs/{later.pk}")
        found = rita.get("/log", {"q": f"conversation:{known.conversation_id}"}).context["page"].rows
        assert [mail.pk for mail in found] == [second.pk, first.pk]

    def test_the_case_of_mail_without_a_run_shows_it_too(
        self, rita: Client, answering: Assistant, mailbox: Mailbox, api_key: ApiKey, far_side: FarSide
    ) -> None:
        email = self.arrives(mailbox, "Broken pump")
        from mailboxes.envelope import Draft

        message = gate.reply(email, Draft(to=(), subject="", markdown="Hi"), by=api_key).message
        assert ConversationThread.objects.get().thread_id in shown(rita, f"/queue/{message.pk}")
