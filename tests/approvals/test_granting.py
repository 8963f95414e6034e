"""What a key asked for: an administrator lets it happen in one step, or refuses it with a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from approvals import actions, granting
from approvals.errors import Conflict, NotPermitted
from approvals.models import OperatorRequest, User, WebhookEndpoint
from approvals.operator_requests import open_code
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, AllowlistEntry, Mailbox
from tests.approvals.api.caller import Caller
from tests.factories import a_key, a_mailbox, a_person, an_assistant, an_integration


@pytest.fixture
def program(mailbox: Mailbox) -> Caller:
    """An integration's, that administers all mailboxes."""
    return Caller(a_key(an_integration("Admin"), scopes=["admin"]))


def asked(response: Any) -> OperatorRequest:
    assert response.status_code in (200, 202), response.content
    return OperatorRequest.objects.select_related("key__assistant", "key__integration").latest("pk")


Asks = Callable[[Caller, Mailbox], OperatorRequest]


def a_new_mailbox(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    program.post("/v1/mailboxes", {"address": "first@acme.test"})
    return asked(program.post("/v1/mailboxes", {"address": "returns@acme.test", "display_name": "Returns"}))


def copies(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    return asked(program.patch(f"/v1/mailboxes/{mailbox.pk}", {"auto_bcc": "all@acme.test"}))


def a_looser_mode(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    wanted = {"target_mode": "autonomous"}
    return asked(program.post(f"/v1/mailboxes/{mailbox.pk}/request-upgrade", wanted))


def an_entry(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    return asked(program.post(f"/v1/mailboxes/{mailbox.pk}/allowlist", {"pattern": "*@friends.test"}))


def a_new_key(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    return asked(program.post("/v1/api-keys", {"name": "Reader", "scopes": ["read"]}))


def a_webhook(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    wanted = {"url": "https://hooks.example/in", "events": ["message.sent"]}
    return asked(program.post("/v1/webhooks", wanted))


def another_address(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    return asked(program.patch("/v1/account", {"oversight_email": "watch@acme.test"}))


def the_end(program: Caller, mailbox: Mailbox) -> OperatorRequest:
    return asked(program.delete("/v1/account", {}))


@pytest.mark.parametrize(
    ("ask", "happened"),
    [
        (
            a_new_mailbox,
            lambda box: Mailbox.objects.filter(address="returns@acme.test").exists(),
        ),
        (copies, lambda box: Mailbox.objects.get(pk=box.pk).auto_bcc == "all@acme.test"),
        (a_looser_mode, lambda box: Mailbox.objects.get(pk=box.pk).oversight_mode == "autonomous"),
        (an_entry, lambda box: AllowlistEntry.objects.get().pattern == "*@friends.test"),
        (a_new_key, lambda box: ApiKey.objects.get(name="Reader").scopes == ["read"]),
        (a_webhook, lambda box: WebhookEndpoint.objects.get().key == ApiKey.objects.get(may_admin=True)),
        (another_address, lambda box: Account.objects.get().oversight_email == "watch@acme.test"),
        (the_end, lambda box: Account.objects.get().closed_at is not None),
    ],
)
def test_what_was_asked_for_happens_once_in_the_administrators_name(
    program: Caller, mailbox: Mailbox, administrator: User, ask: Asks, happened: Callable[[Mailbox], bool]
) -> None:
    request = ask(program, mailbox)
    granting.grant(request, by=administrator)
    assert happened(mailbox)
    assert Event.objects.latest("seq").actor == administrator.actor
    request.refresh_from_db()
    assert request.used_at
    assert request.decided_by == administrator
    with pytest.raises(Conflict, match="closed"):
        granting.grant(request, by=administrator)


def test_the_secret_of_what_was_made_is_handed_out_once(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    key, secret = granting.grant(a_new_key(program, mailbox), by=administrator)
    assert isinstance(key, ApiKey)
    assert Caller(Authorization=f"Bearer {secret}").get("/v1/mailboxes").status_code == 200
    endpoint, secret = granting.grant(a_webhook(program, mailbox), by=administrator)
    assert isinstance(endpoint, WebhookEndpoint)
    assert secret.startswith("whsec_")


def test_keys_are_widened_and_ended_and_entries_taken_off(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    key = a_key(an_integration("Other"), scopes=["read"])
    granting.grant(
        asked(program.patch(f"/v1/api-keys/{key.pk}", {"scopes": ["read", "send"]})), by=administrator
    )
    key.refresh_from_db()
    assert key.scopes == ["read", "send"]
    granting.grant(asked(program.delete(f"/v1/api-keys/{key.pk}", {})), by=administrator)
    key.refresh_from_db()
    assert key.revoked_at
    entry = actions.allow(mailbox, "*@friends.test", by=administrator)
    path = f"/v1/mailboxes/{mailbox.pk}/allowlist/{entry.pk}"
    granting.grant(asked(program.delete(path, {})), by=administrator)
    assert not AllowlistEntry.objects.exists()


def test_a_refusal_is_heard_with_its_reason_and_ends_the_code(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    request = an_entry(program, mailbox)
    code = open_code(request)
    granting.refuse(request, "Not before the audit.", by=administrator)
    path, wanted = f"/v1/mailboxes/{mailbox.pk}/allowlist", {"pattern": "*@friends.test"}
    again = program.post(path, wanted)
    assert again.status_code == 403
    assert "Not before the audit." in again.content.decode()
    assert program.post(path, {**wanted, "approval_code": code}).status_code == 403
    assert not AllowlistEntry.objects.exists()
    assert Event.objects.latest("seq").action == "approval.refused"
    assert program.post(path, {"pattern": "*@others.test"}).status_code == 202


def test_a_looser_mode_that_was_refused_is_not_asked_for_again(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    granting.refuse(a_looser_mode(program, mailbox), "", by=administrator)
    wanted = {"target_mode": "autonomous"}
    assert program.post(f"/v1/mailboxes/{mailbox.pk}/request-upgrade", wanted).status_code == 403


def test_who_was_granted_it_is_told_so_when_it_asks_again(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    granting.grant(a_new_key(program, mailbox), by=administrator)
    again = program.post("/v1/api-keys", {"name": "Reader", "scopes": ["read"]})
    assert again.status_code == 409
    assert ApiKey.objects.filter(name="Reader").count() == 1


def test_a_mode_that_was_changed_meanwhile_is_not_changed_again(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    request = a_looser_mode(program, mailbox)
    actions.set_mode(mailbox, "read_only", by=administrator)
    with pytest.raises(Conflict, match="no longer in gated_send"):
        granting.grant(request, by=administrator)
    request.refresh_from_db()
    assert request.used_at is None


def test_copies_do_not_bring_a_looser_mode_with_them(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    wanted = {"auto_bcc": "all@acme.test", "oversight_mode": "autonomous"}
    response = program.patch(f"/v1/mailboxes/{mailbox.pk}", wanted)
    if response.status_code == 202:
        with pytest.raises(Conflict, match="looser"):
            granting.grant(asked(response), by=administrator)
    mailbox.refresh_from_db()
    assert mailbox.oversight_mode == "gated_send"


def test_the_request_of_a_key_that_has_ended_is_closed(
    program: Caller, mailbox: Mailbox, administrator: User
) -> None:
    request = an_entry(program, mailbox)
    actions.revoke_key(request.key, by=administrator)
    with pytest.raises(Conflict):
        granting.grant(OperatorRequest.objects.select_related("key").get(), by=administrator)


def test_only_administrators_within_reach_answer(mailbox: Mailbox, reviewer: User, auditor: User) -> None:
    owner = an_assistant(scopes=["admin"], mailboxes=[mailbox])
    near = Caller(a_key(owner, scopes=["admin"], mailboxes=[mailbox]))
    request = an_entry(near, mailbox)
    far = a_person("far@acme.test", "administrator", mailboxes=[a_mailbox()])
    for person in (reviewer, auditor, far):
        with pytest.raises(NotPermitted):
            granting.grant(request, by=person)
        with pytest.raises(NotPermitted):
            granting.refuse(request, "", by=person)
    granting.grant(request, by=a_person("near@acme.test", "administrator", mailboxes=[mailbox]))
    assert AllowlistEntry.objects.exists()
