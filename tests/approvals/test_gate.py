"""The only way out, and the only way in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import actions, gate
from approvals.actions.inbound import move_inbound
from approvals.errors import Conflict, Duplicate, IdempotencyReused, Invalid, NotPermitted, Refused
from approvals.models import IdempotencyKey, MailboxAssistant, OutboundMessage, OutboxEntry, User
from approvals.states import Status
from assistants.models import ApiKey, Assistant, Run
from audit.models import Event
from mailboxes import mime
from mailboxes.envelope import Draft, Envelope
from mailboxes.inbound import parse
from mailboxes.models import AllowlistEntry, Email, Mailbox, RawMessage
from tests import factories
from tests.approvals import living

pytestmark = [pytest.mark.django_db, pytest.mark.database]
DRAFT = Draft(to=("customer@northwind.example",), subject="Refund", markdown="It is **done**.")
CONTEXT = gate.Context("asst_x", "thread_x", "run_x", "call_x")


class TestSending:
    def test_a_send_is_frozen_bound_and_held(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        message = gate.send(DRAFT, mailbox, by=api_key, context=CONTEXT).message
        revision = message.email.revisions.get()
        assert message.status == Status.PENDING
        assert message.digest == revision.digest
        digest = mime.digest(revision.envelope_from, revision.recipients, bytes(revision.frozen))
        assert digest == revision.digest
        assert message.reasons == ["support@acme.test is in gated_send."]
        assert message.email.run_id == "run_x"
        event = Event.objects.get(action=Event.Action.MESSAGE_HELD)
        assert (event.assistant_id, event.thread_id, event.run_id, event.tool_call_id) == (
            "asst_x", "thread_x", "run_x", "call_x",
        )  # fmt: skip

    @pytest.mark.parametrize("mode", ["autonomous", "monitored"])
    def test_what_the_policy_releases_is_promised_at_once(
        self, api_key: ApiKey, mailbox: Mailbox, administrator: User, mode: str
    ) -> None:
        Mailbox.objects.update(oversight_mode=mode)
        from mailboxes.models import Account

        Account.objects.update(oversight_email="boss@acme.test")
        message = gate.send(DRAFT, Mailbox.objects.get(), by=api_key).message
        assert (message.status, message.released_mode) == (Status.APPROVED, mode)
        assert OutboxEntry.objects.filter(kind="deliver_email", ref=message.pk).exists()

    def test_read_only_refuses_and_the_refusal_is_on_record(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        Mailbox.objects.update(oversight_mode="read_only")
        with pytest.raises(Refused, match=r"read_only.*request-upgrade.*administrator can also raise"):
            gate.send(DRAFT, Mailbox.objects.get(), by=api_key)
        assert not Email.objects.exists()
        assert Event.objects.filter(action=Event.Action.MESSAGE_REFUSED, mailbox_id=mailbox.pk).exists()

    def test_the_allowlist_covers_every_recipient_or_nothing(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        AllowlistEntry.objects.create(mailbox=mailbox, pattern="*@northwind.example")
        assert gate.send(DRAFT, mailbox, by=api_key).message.status == Status.APPROVED
        blind = Draft(to=DRAFT.to, bcc=("eve@evil.example",), subject="Refund", markdown="x")
        assert gate.send(blind, mailbox, by=api_key).message.status == Status.PENDING

    def test_a_bad_draft_names_each_field(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        bad = Draft(to=("a@b.example, c@d.example",), subject="x\r\nBcc: eve@evil.example", markdown="x")
        with pytest.raises(Invalid) as caught:
            gate.send(bad, mailbox, by=api_key)
        assert {error["field"] for error in caught.value.fields} == {"to[0]", "subject"}
        assert not Email.objects.exists()

    def test_out_of_reach_or_without_the_scope_nothing_is_sent(
        self, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        elsewhere = factories.a_mailbox()
        reader = factories.a_key(api_key.assistant, scopes=["read"], mailboxes=[mailbox])  # type: ignore[arg-type]
        with pytest.raises(NotPermitted):
            gate.send(DRAFT, elsewhere, by=api_key)
        with pytest.raises(NotPermitted):
            gate.send(DRAFT, mailbox, by=reader)
        Mailbox.objects.update(is_active=False)
        with pytest.raises(Refused):
            gate.send(DRAFT, Mailbox.objects.get(pk=mailbox.pk), by=api_key)

    def test_first_contact_is_a_fact_until_mail_was_exchanged(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        first = gate.send(DRAFT, mailbox, by=api_key).message
        assert "first_time" in {fact["code"] for fact in first.email.revisions.get().facts}
        again = living.a_held_message(api_key, mailbox)
        assert "first_time" in {fact["code"] for fact in again.email.revisions.get().facts}
        living.an_inbound(mailbox)
        Email.objects.inbound().update(inbound_status="rejected")
        kept_out = living.a_held_message(api_key, mailbox)
        assert "first_time" in {fact["code"] for fact in kept_out.email.revisions.get().facts}
        Email.objects.inbound().update(inbound_status="unread")
        known = living.a_held_message(api_key, mailbox)
        assert "first_time" not in {fact["code"] for fact in known.email.revisions.get().facts}

    def test_a_mailbox_that_turns_read_only_while_a_draft_is_frozen_refuses_it(
        self, api_key: ApiKey, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        freeze = mime.freeze

        def tighten_meanwhile(envelope: Envelope) -> mime.Frozen:
            Mailbox.objects.update(oversight_mode="read_only")
            return freeze(envelope)

        monkeypatch.setattr(mime, "freeze", tighten_meanwhile)
        with pytest.raises(Refused):
            gate.send(DRAFT, mailbox, by=api_key)
        assert not Email.objects.exists()


class TestRepeats:
    def test_the_same_call_returns_the_first(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        first = gate.send(DRAFT, mailbox, by=api_key, context=CONTEXT)
        second = gate.send(DRAFT, mailbox, by=api_key, context=CONTEXT)
        assert (first.repeated, second.repeated) == (False, True)
        assert first.message == second.message

    @pytest.mark.parametrize("change", [{"oversight_mode": "read_only"}, {"is_active": False}])
    def test_the_same_call_finds_the_first_whatever_has_become_of_the_mailbox(
        self, api_key: ApiKey, mailbox: Mailbox, change: dict[str, object]
    ) -> None:
        """A refusal would tell a resumed run that what was sent was not."""
        first = gate.send(DRAFT, mailbox, by=api_key, context=CONTEXT).message
        Mailbox.objects.update(**change)
        again = gate.send(DRAFT, Mailbox.objects.get(), by=api_key, context=CONTEXT)
        assert (again.message, again.repeated) == (first, True)
        assert not Event.objects.filter(action=Event.Action.MESSAGE_REFUSED).exists()
        with pytest.raises(Refused):
            gate.send(replace(DRAFT, subject="Another"), Mailbox.objects.get(), by=api_key)

    def test_the_same_call_with_other_content_is_a_conflict(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        gate.send(DRAFT, mailbox, by=api_key, context=CONTEXT)
        other = Draft(to=DRAFT.to, subject="Refund", markdown="something else")
        with pytest.raises(Conflict) as caught:
            gate.send(other, mailbox, by=api_key, context=CONTEXT)
        assert caught.value.code == "tool_call_reused"

    def test_an_idempotency_key_means_one_message(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        first = gate.send(DRAFT, mailbox, by=api_key, idempotency_key="k1")
        assert gate.send(DRAFT, mailbox, by=api_key, idempotency_key="k1").message == first.message
        with pytest.raises(IdempotencyReused):
            gate.send(
                Draft(to=DRAFT.to, subject="x", markdown="y"), mailbox, by=api_key, idempotency_key="k1"
            )
        with pytest.raises(Invalid):
            gate.send(DRAFT, mailbox, by=api_key, idempotency_key="k" * 256)

    def test_the_same_content_within_a_minute_is_refused(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        first = gate.send(DRAFT, mailbox, by=api_key).message
        with pytest.raises(Duplicate) as caught:
            gate.send(DRAFT, mailbox, by=api_key)
        assert caught.value.details["email_id"] == first.pk
        IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert gate.send(DRAFT, mailbox, by=api_key).message != first

    def test_another_key_is_another_sender(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        gate.send(DRAFT, mailbox, by=api_key, idempotency_key="k1")
        second = factories.a_key(assistant, mailboxes=[mailbox])
        assert not gate.send(DRAFT, mailbox, by=second, idempotency_key="k1").repeated


class TestBinding:
    def arguments(self, mailbox: Mailbox, **more: object) -> str:
        asked = {"to": "customer@northwind.example", "subject": "Refund", "body": "It is **done**."}
        return json.dumps(asked | {"mailbox_id": mailbox.pk} | more)

    def test_a_send_without_context_finds_its_open_call(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = living.a_waiting_run(
            assistant, mailbox, ("send_email", self.arguments(mailbox)), driver="caller"
        )
        message = gate.send(DRAFT, mailbox, by=api_key).message
        assert message.run == run
        assert message.email.tool_call_id == run.calls.get().call_id
        assert message.email.thread_id == run.thread_id

    def test_of_a_run_that_we_know_our_own_record_counts(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, ("send_email", "{}"))
        context = gate.Context("asst_other", "thread_other", run.run_id, run.calls.get().call_id)
        email = gate.send(DRAFT, mailbox, by=api_key, context=context).message.email
        assert (email.assistant_id, email.thread_id) == ("asst_1", run.thread_id)

    def test_two_calls_that_fit_bind_nothing(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        call = ("send_email", self.arguments(mailbox))
        living.a_waiting_run(assistant, mailbox, call, call, driver="caller")
        assert gate.send(DRAFT, mailbox, by=api_key).message.run is None

    @pytest.mark.parametrize(
        "other",
        [{"subject": "Other"}, {"to": "eve@evil.example"}, {"body": "x"}, {"mailbox_id": "mbx_other"}],
    )
    def test_other_arguments_do_not_fit(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox, other: dict[str, str]
    ) -> None:
        living.a_waiting_run(
            assistant, mailbox, ("send_email", self.arguments(mailbox, **other)), driver="caller"
        )
        assert gate.send(DRAFT, mailbox, by=api_key).message.run is None

    def test_nonsense_for_arguments_does_not_fit(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        living.a_waiting_run(
            assistant, mailbox, ("send_email", "not json"), ("send_email", "[]"), driver="caller"
        )
        assert gate.send(DRAFT, mailbox, by=api_key).message.run is None

    def test_another_assistants_run_is_never_bound(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        other = factories.an_assistant("Other", mailboxes=[mailbox])
        run = living.a_waiting_run(other, mailbox, ("send_email", self.arguments(mailbox)), driver="caller")
        context = gate.Context(run_id=run.run_id, tool_call_id="call_1")
        assert gate.send(DRAFT, mailbox, by=api_key, context=context).message.run is None

    def test_nobody_writes_another_assistants_name_on_mail(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        other = factories.an_assistant("Other", mailboxes=[mailbox], remote_id="asst_other")
        program = factories.a_key(factories.an_integration(), mailboxes=[mailbox])
        for number, named in enumerate((other.pk, "asst_other")):
            draft = Draft(to=DRAFT.to, subject=f"Number {number}", markdown="x")
            context = gate.Context(assistant_id=named)
            by_key = gate.send(draft, mailbox, by=api_key, context=context).message
            by_program = gate.send(draft, mailbox, by=program, context=context).message
            assert by_key.email.assistant_id == api_key.assistant_id
            assert by_program.email.assistant_id == ""

    def test_the_same_request_again_finds_the_message_of_its_call(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        call = ("send_email", self.arguments(mailbox))
        living.a_waiting_run(assistant, mailbox, call, driver="caller")
        first = gate.send(DRAFT, mailbox, by=api_key)
        again = gate.send(DRAFT, mailbox, by=api_key)
        IdempotencyKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        later = gate.send(DRAFT, mailbox, by=api_key)
        assert (again.repeated, later.repeated) == (True, True)
        assert first.message == again.message == later.message


class TestReplies:
    def test_a_reply_goes_to_reply_to_and_says_so(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox, subject="Where is it?")
        Email.objects.filter(pk=email.pk).update(reply_to="elsewhere@other.example")
        email.refresh_from_db()
        message = gate.reply(email, Draft(to=(), markdown="Here."), by=api_key).message
        assert message.email.to == ["elsewhere@other.example"]
        assert message.email.subject == "Re: Where is it?"
        assert message.email.conversation == email.conversation
        assert message.email.in_reply_to == email.message_id
        assert "reply_to_differs" in {fact["code"] for fact in message.email.revisions.get().facts}

    def test_a_reply_to_that_is_the_sender_is_nothing_to_remark(
        self, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        email = living.an_inbound(mailbox)
        Email.objects.filter(pk=email.pk).update(reply_to=email.from_address.upper())
        email.refresh_from_db()
        message = gate.reply(email, Draft(to=(), markdown="Here."), by=api_key).message
        assert "reply_to_differs" not in {fact["code"] for fact in message.email.revisions.get().facts}

    def test_else_to_from_with_no_second_re(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox, subject="RE: Where is it?")
        message = gate.reply(email, Draft(to=(), markdown="Here."), by=api_key).message
        assert message.email.to == ["customer@northwind.example"]
        assert message.email.subject == "RE: Where is it?"

    def test_a_follow_up_to_our_own_mail_goes_where_that_went(
        self, api_key: ApiKey, mailbox: Mailbox
    ) -> None:
        first = living.a_held_message(api_key, mailbox)
        message = gate.reply(first.email, Draft(to=(), markdown="And also"), by=api_key).message
        assert message.email.to == first.email.to


class TestDrivenRuns:
    def call(self, name: str, **arguments: object) -> tuple[str, str]:
        return (name, json.dumps(arguments))

    def outputs(self, run: object) -> list[dict[str, object] | None]:
        calls = run.calls.order_by("position")  # type: ignore[attr-defined]
        return [json.loads(call.output) if call.output else None for call in calls]

    def test_reads_are_answered_at_once_and_sends_wait(self, assistant: Assistant, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        send = self.call("send_email", to="a@b.example", subject="s", body="b", mailbox_id=mailbox.pk)
        run = living.a_waiting_run(
            assistant,
            mailbox,
            self.call("check_inbox", mailbox_id=mailbox.pk),
            send,
            self.call("read_email", email_id=email.pk),
            self.call("reply_email", email_id=email.pk, body="Soon."),
        )
        gate.dispatch_calls(run)
        inbox, sent, read, replied = self.outputs(run)
        assert inbox is not None
        assert [one["id"] for one in inbox["emails"]] == [email.pk]  # type: ignore[attr-defined]
        assert read is not None
        assert read["text_body"] == "Where is my order?\n"
        assert sent is None
        assert replied is None
        assert OutboundMessage.objects.filter(run=run, status=Status.PENDING).count() == 2
        assert not OutboxEntry.objects.filter(kind="resume_run").exists()

    def test_a_read_is_answered_although_a_caller_bound_a_message_to_it(
        self, api_key: ApiKey, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, self.call("check_inbox"))
        context = gate.Context(run_id=run.run_id, tool_call_id=run.calls.get().call_id)
        gate.send(DRAFT, mailbox, by=api_key, context=context)
        gate.dispatch_calls(run)
        assert self.outputs(run) == [{"emails": []}]

    def test_a_call_that_names_another_mailbox_than_the_mails_is_told_so(
        self, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        email = living.an_inbound(mailbox)
        other = factories.a_mailbox()
        MailboxAssistant.objects.create(assistant=assistant, mailbox=other)
        named = {"email_id": email.pk, "mailbox_id": other.pk}
        run = living.a_waiting_run(
            assistant, mailbox, self.call("reply_email", body="x", **named), self.call("read_email", **named)
        )
        gate.dispatch_calls(run)
        assert [output["code"] for output in self.outputs(run) if output] == ["not_found", "not_found"]

    def test_dispatching_again_makes_nothing_twice(self, assistant: Assistant, mailbox: Mailbox) -> None:
        send = self.call("send_email", to="a@b.example", subject="s", body="b")
        run = living.a_waiting_run(assistant, mailbox, send)
        gate.dispatch_calls(run)
        gate.dispatch_calls(run)
        assert OutboundMessage.objects.filter(run=run).count() == 1

    @pytest.mark.parametrize(
        ("name", "arguments", "code"),
        [
            ("lookup_order", "{}", "unknown_tool"),
            ("send_email", "not json", "invalid"),
            ("send_email", "[]", "invalid"),
            ("send_email", '{"to": 5, "subject": "s", "body": "b"}', "invalid"),
            ("send_email", '{"to": "a@b.example", "subject": "s"}', "invalid"),
            (
                "send_email",
                '{"to": "a@b.example", "subject": "s\\r\\nBcc: e@e.example", "body": "b"}',
                "invalid",
            ),
            (
                "send_email",
                '{"to": "a@b.example", "subject": "s", "body": "b", "mailbox_id": "mbx_x"}',
                "not_found",
            ),
            ("reply_email", '{"email_id": "em_x", "body": "b"}', "not_found"),
            ("read_email", '{"email_id": "em_\\u0000"}', "invalid"),
            ("read_email", '{"email_id": "em_\\ud800"}', "invalid"),
            ("check_inbox", '{"mailbox_id": "\\udfff"}', "invalid"),
            ("send_email", "[" * 100_000, "invalid"),
            ("check_inbox", '{"limit": 0}', "invalid"),
            ("check_inbox", '{"limit": true}', "invalid"),
            ("tag_email", '{"email_id": "em_x", "action": "set"}', "not_found"),
        ],
    )
    def test_no_run_is_stuck_on_a_bad_call(
        self, assistant: Assistant, mailbox: Mailbox, name: str, arguments: str, code: str
    ) -> None:
        run = living.a_waiting_run(assistant, mailbox, (name, arguments))
        gate.dispatch_calls(run)
        (output,) = self.outputs(run)
        assert output is not None
        assert output["error"]
        assert output["code"] == code
        assert OutboxEntry.objects.filter(kind="resume_run", ref=run.pk).exists()

    def test_outputs_too_long_for_a_run_server_are_cut_and_say_so(
        self, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        email = living.an_inbound(mailbox)
        Email.objects.update(text='"' * 300_000, to=["a@b.example"] * 500)
        run = living.a_waiting_run(
            assistant, mailbox, *[self.call("check_inbox"), self.call("read_email", email_id=email.pk)] * 5
        )
        gate.dispatch_calls(run)
        texts = [str(call.output) for call in run.calls.all()]
        assert sum(map(len, texts)) <= 200_000
        assert all("the rest is too long" in text and email.pk in text for text in texts)

    def test_tags_are_set_read_and_deleted(self, assistant: Assistant, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        run = living.a_waiting_run(
            assistant,
            mailbox,
            self.call("tag_email", email_id=email.pk, action="set", tags={"topic": "refund", "x": "y"}),
            self.call("tag_email", email_id=email.pk, action="delete", key="x"),
            self.call("tag_email", email_id=email.pk, action="get"),
            self.call("tag_email", email_id=email.pk, action="frob"),
            self.call("tag_email", email_id=email.pk, tags=["no"]),
            self.call("tag_email", email_id=email.pk, tags={"k": "v" * 201}),
        )
        gate.dispatch_calls(run)
        outputs = self.outputs(run)
        assert [output["tags"] for output in outputs[:3] if output] == [
            {"topic": "refund", "x": "y"},
            {"topic": "refund"},
            {"topic": "refund"},
        ]
        assert all(output and output["error"] for output in outputs[3:])

    def test_a_refusal_is_an_output(self, assistant: Assistant, mailbox: Mailbox) -> None:
        Mailbox.objects.update(oversight_mode="read_only")
        run = living.a_waiting_run(
            assistant, mailbox, self.call("send_email", to="a@b.example", subject="s", body="b")
        )
        gate.dispatch_calls(run)
        (output,) = self.outputs(run)
        assert output is not None
        assert output["code"] == "mode_forbids"

    def test_an_assistant_reaches_its_own_mailboxes_only(
        self, assistant: Assistant, mailbox: Mailbox
    ) -> None:
        other = living.an_inbound(factories.a_mailbox())
        run = living.a_waiting_run(
            assistant,
            mailbox,
            self.call("read_email", email_id=other.pk),
            self.call("check_inbox", mailbox_id=other.mailbox_id),
        )
        gate.dispatch_calls(run)
        assert [output["code"] for output in self.outputs(run) if output] == ["not_found", "not_found"]


class TestInbound:
    def test_mail_is_unread_and_visible(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        assert email.inbound_status == "unread"
        assert gate.check_inbox(mailbox, by=api_key) == [email]
        assert gate.read(email, by=api_key).inbound_status == "read"
        assert gate.read(email, by=api_key).inbound_status == "read"
        assert Event.objects.filter(action=Event.Action.EMAIL_READ).count() == 1

    def test_gated_all_holds_what_comes_in_until_a_person_decides(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User, second_reviewer: User
    ) -> None:
        Mailbox.objects.update(oversight_mode="gated_all")
        email = living.an_inbound(mailbox)
        assert email.inbound_status == "pending_inbound_approval"
        assert gate.check_inbox(mailbox, by=api_key) == []
        actions.approve_inbound(email, by=reviewer)
        assert gate.check_inbox(mailbox, by=api_key) == [email]
        with pytest.raises(Conflict, match=r"Already approved by rita@acme\.test"):
            actions.reject_inbound(email, by=second_reviewer, reason="late")

    def test_rejected_and_expired_mail_stays_invisible(
        self, api_key: ApiKey, mailbox: Mailbox, reviewer: User
    ) -> None:
        Mailbox.objects.update(oversight_mode="gated_all")
        rejected, expired = living.an_inbound(mailbox), living.an_inbound(mailbox)
        actions.reject_inbound(rejected, by=reviewer, reason="phishing")
        assert not actions.expire_inbound(expired)
        Email.objects.update(deadline_at=timezone.now())
        assert actions.expire_inbound(expired)
        assert not actions.expire_inbound(expired)
        assert gate.check_inbox(mailbox, by=api_key) == []

    def test_mail_starts_a_run_where_the_mailbox_says_so(
        self, mailbox: Mailbox, assistant: Assistant, reviewer: User
    ) -> None:
        def started() -> list[str]:
            refs = OutboxEntry.objects.filter(kind="start_run").order_by("pk").values_list("ref", flat=True)
            return [Run.objects.get(pk=ref).email_id for ref in refs]

        Mailbox.objects.update(on_inbound="run")
        living.an_inbound(mailbox)
        assert started() == []
        MailboxAssistant.objects.update(answers_inbound=True)
        email = living.an_inbound(mailbox)
        assert started() == [email.pk]
        Mailbox.objects.update(oversight_mode="gated_all")
        held = living.an_inbound(mailbox)
        assert started() == [email.pk]
        actions.approve_inbound(held, by=reviewer)
        assert started() == [email.pk, held.pk]

    def test_the_same_bytes_are_admitted_once(self, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        assert gate.admit(RawMessage.objects.get(), None) is None
        assert Email.objects.get() == email

    def test_what_cannot_be_parsed_is_kept_and_flagged(self, mailbox: Mailbox) -> None:
        raw = gate.receive(mailbox, "a@b.example", mailbox.address, b"\x00" * 100)
        email = gate.admit(raw, None, parse_error="too many parts")
        assert email is not None
        assert email.parse_error == "too many parts"
        assert email.from_address == "a@b.example"
        assert bytes(RawMessage.objects.get().data) == b"\x00" * 100

    def test_a_move_that_the_machine_does_not_know_is_a_bug(self, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        with pytest.raises(ValueError, match="never becomes"):
            move_inbound(email, Email.InboundStatus.REJECTED, Email.InboundStatus.UNREAD)

    def test_two_who_read_at_once_are_one_event(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        stale = Email.objects.get(pk=email.pk)
        gate.read(email, by=api_key)
        gate.read(stale, by=api_key)
        assert Event.objects.filter(action=Event.Action.EMAIL_READ).count() == 1

    def test_whoever_decides_after_the_deadline_hears_it(self, mailbox: Mailbox, reviewer: User) -> None:
        Mailbox.objects.update(oversight_mode="gated_all")
        email = living.an_inbound(mailbox)
        Email.objects.update(deadline_at=timezone.now())
        actions.expire_inbound(email)
        with pytest.raises(Conflict, match="This mail is expired"):
            actions.approve_inbound(email, by=reviewer)

    def test_a_mail_without_a_sender_is_from_its_envelope(self, mailbox: Mailbox) -> None:
        raw = gate.receive(mailbox, "bounce@far.example", mailbox.address, b"Subject: x\r\n\r\nx\r\n")
        email = gate.admit(raw, parse(bytes(raw.data)))
        assert email is not None
        assert email.from_address == "bounce@far.example"


class TestTags:
    def test_reading_tags_takes_no_right_to_send(self, assistant: Assistant, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        reader = factories.a_key(assistant, scopes=["read"], mailboxes=[mailbox])
        assert gate.tag(email, by=reader) == {}
        with pytest.raises(NotPermitted):
            gate.tag(email, by=reader, set={"a": "b"})

    @pytest.mark.parametrize("bad", [{"": "x"}, {"k" * 201: "x"}, {"k": "a\nb"}, {"k": 5}])
    def test_tags_are_short_printable_text(
        self, api_key: ApiKey, mailbox: Mailbox, bad: dict[str, str]
    ) -> None:
        email = living.an_inbound(mailbox)
        with pytest.raises(Invalid):
            gate.tag(email, by=api_key, set=bad)

    def test_there_are_at_most_fifty(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        with pytest.raises(Invalid):
            gate.tag(email, by=api_key, set={str(i): "x" for i in range(51)})

    def test_the_same_tags_again_are_no_event(self, api_key: ApiKey, mailbox: Mailbox) -> None:
        email = living.an_inbound(mailbox)
        gate.tag(email, by=api_key, set={"a": "b"})
        gate.tag(email, by=api_key, set={"a": "b"})
        assert Event.objects.filter(action=Event.Action.EMAIL_TAGGED).count() == 1
