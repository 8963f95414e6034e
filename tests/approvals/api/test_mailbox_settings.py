"""Changing a mailbox by key: settings at once, stricter at once, looser and copies with a person's word."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import OperatorRequest, OutboundMessage
from approvals.models.requests import MAX_ATTEMPTS
from approvals.operator_requests import open_code
from approvals.states import Status
from assistants.models import ApiKey
from audit.models import Event
from mailboxes.models import Account, AllowlistEntry, Mailbox
from tests.approvals.api.caller import Caller, held


@pytest.fixture
def path(mailbox: Mailbox) -> str:
    return f"/v1/mailboxes/{mailbox.pk}"


def oversee(address: str) -> None:
    Account.objects.update_or_create(pk=1, defaults={"oversight_email": address})


def newest_code() -> str:
    return open_code(OperatorRequest.objects.order_by("-pk")[0])


def test_settings_change_at_once_and_are_on_record(manager: Caller, path: str, mailbox: Mailbox) -> None:
    wanted = {"display_name": "Acme", "signature_block": "Acme Ltd", "forward_inbound": True}
    assert manager.patch(path, wanted).json() == {"status": "updated"}
    shown = manager.get(path).json()
    assert (shown["display_name"], shown["signature_block"], shown["forward_inbound"]) == (
        "Acme",
        "Acme Ltd",
        1,
    )
    event = Event.objects.get(action="mailbox.changed", mailbox_id=mailbox.pk)
    assert event.payload.body == wanted


def test_configure_takes_numbers_for_yes_and_no_and_answers_the_mailbox(manager: Caller, path: str) -> None:
    wanted = {"mcp_configured": 1, "scheduling_enabled": 0, "default_gate_timing": "schedule_first"}
    shown = manager.patch(f"{path}/configure", wanted).json()
    assert shown["mcp_configured"] is True
    assert shown["scheduling_enabled"] is False
    assert shown["default_gate_timing"] == "schedule_first"


def test_null_empties_a_setting(manager: Caller, path: str) -> None:
    manager.patch(path, {"signature_block": "Acme"})
    manager.patch(path, {"signature_block": None})
    assert manager.get(path).json()["signature_block"] is None


def test_saying_what_is_so_already_leaves_no_trace(manager: Caller, path: str) -> None:
    manager.patch(path, {"forward_inbound": False, "oversight_mode": "gated_send"})
    assert not Event.objects.exists()


@pytest.mark.parametrize("call", ["", "/configure"])
def test_a_key_makes_a_mailbox_stricter_and_never_looser(manager: Caller, path: str, call: str) -> None:
    assert manager.patch(path + call, {"oversight_mode": "gated_all"}).status_code == 200
    refused = manager.patch(path + call, {"oversight_mode": "gated_send", "display_name": "Sneaky"})
    assert (refused.status_code, refused.json()["code"]) == (403, "looser_needs_a_person")
    shown = manager.get(path).json()
    assert (shown["oversight_mode"], shown["display_name"]) == ("gated_all", "Acme Support")


def test_tightening_takes_back_what_the_policy_released(manager: Caller, path: str, api_key: ApiKey) -> None:
    Mailbox.objects.update(oversight_mode="autonomous")
    message = held(Mailbox.objects.get(), api_key)
    assert message.status == Status.APPROVED
    manager.patch(path, {"oversight_mode": "gated_send"})
    assert OutboundMessage.objects.get().status == Status.PENDING


@pytest.mark.parametrize("name", ["auto_cc", "auto_bcc"])
def test_who_gets_copies_is_changed_with_a_persons_word(manager: Caller, path: str, name: str) -> None:
    wanted = {name: "boss@acme.test", "display_name": "Acme"}
    assert manager.patch(path, wanted).status_code == 202
    assert manager.get(path).json()[name] is None
    assert manager.patch(path, wanted | {"approval_code": newest_code()}).json() == {"status": "updated"}
    shown = manager.get(path).json()
    assert (shown[name], shown["display_name"]) == ("boss@acme.test", "Acme")
    # the same again is no change, so it takes nobody's word
    assert manager.patch(path, wanted).status_code == 200


def test_a_code_for_one_address_is_no_good_for_another(manager: Caller, path: str) -> None:
    manager.patch(path, {"auto_bcc": "boss@acme.test"})
    refused = manager.patch(path, {"auto_bcc": "thief@evil.test", "approval_code": newest_code()})
    assert (refused.status_code, refused.json()["code"]) == (403, "no_open_request")


def test_copies_and_signature_are_frozen_with_the_message(
    manager: Caller, path: str, api_key: ApiKey, mailbox: Mailbox
) -> None:
    settings = {
        "auto_cc": "boss@acme.test",
        "auto_bcc": "file@acme.test",
        "signature_block": "Acme\n<Support>",
    }
    Mailbox.objects.update(**settings)
    message = held(Mailbox.objects.get(), api_key)
    revision = message.email.revisions.get()
    assert (message.email.cc, message.email.bcc) == (["boss@acme.test"], ["file@acme.test"])
    assert revision.recipients == ["anna@example.com", "boss@acme.test", "file@acme.test"]
    assert message.email.text.endswith("--  \nAcme  \n<Support>\n")
    Mailbox.objects.update(signature_block="Another")
    assert b"Another" not in bytes(message.email.revisions.get().frozen)


def test_a_recipient_who_is_there_already_gets_no_second_copy(api_key: ApiKey, mailbox: Mailbox) -> None:
    Mailbox.objects.update(auto_cc="anna@example.com", auto_bcc="ANNA@example.com")
    message = held(Mailbox.objects.get(), api_key)
    assert message.email.recipients.count("anna@example.com") == 1


def test_the_allowlist_does_not_ask_about_copies(api_key: ApiKey, mailbox: Mailbox) -> None:
    Mailbox.objects.update(auto_bcc="file@archive.test")
    AllowlistEntry.objects.create(mailbox=mailbox, pattern="*@example.com")
    assert held(Mailbox.objects.get(), api_key).status == Status.APPROVED
    # a recipient that the draft itself names is asked about, whatever the settings say
    message = held(Mailbox.objects.get(), api_key, subject="Other", bcc=("file@archive.test",))
    assert message.status == Status.PENDING


def test_a_deleted_mailbox_is_gone_for_keys_and_its_address_is_never_free(manager: Caller, path: str) -> None:
    assert manager.delete(path).json() == {"status": "deleted"}
    assert manager.get(path).status_code == 404
    assert manager.get("/v1/mailboxes").json()["mailboxes"] == []
    again = manager.post("/v1/mailboxes", {"address": "support@acme.test"})
    assert (again.status_code, again.json()["code"]) == (409, "address_taken")
    assert Event.objects.filter(action="mailbox.deleted").count() == 1


def test_what_waits_in_a_deleted_mailbox_never_leaves(
    manager: Caller, overseer: Caller, path: str, api_key: ApiKey, mailbox: Mailbox
) -> None:
    message = held(mailbox, api_key)
    manager.delete(path)
    decided = overseer.post("/v1/oversight/decide", {"email_id": message.pk, "action": "approve"})
    assert decided.status_code in (403, 409)
    assert OutboundMessage.objects.get().status == Status.PENDING


@pytest.mark.parametrize(
    ("method", "call"),
    [("patch", ""), ("delete", ""), ("patch", "/configure"), ("post", "/upgrade"), ("post", "/allowlist")],
)
def test_changing_takes_the_admin_scope_and_reach(
    agent: Caller, stranger: Caller, path: str, method: str, call: str
) -> None:
    assert getattr(agent, method)(path + call, {}).status_code == 403
    other = getattr(stranger, method)(path + call, {})
    assert other.status_code in (403, 404)


class TestTheLadder:
    def test_a_looser_mode_comes_with_the_code_and_once(
        self, manager: Caller, agent: Caller, path: str
    ) -> None:
        oversee("boss@acme.test")
        asked = agent.post(f"{path}/request-upgrade", {"target_mode": "monitored"})
        assert (asked.status_code, asked.json()) == (200, {"status": "upgrade_requested"})
        code = newest_code()
        assert manager.post(f"{path}/upgrade", {"code": code.lower()}).json() == {"status": "upgraded"}
        assert manager.get(path).json()["oversight_mode"] == "monitored"
        assert manager.post(f"{path}/upgrade", {"code": code}).status_code == 404

    def test_a_wrong_code_is_403_and_five_of_them_end_it(
        self, manager: Caller, agent: Caller, path: str
    ) -> None:
        agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"})
        code = newest_code()
        for _ in range(MAX_ATTEMPTS):
            assert manager.post(f"{path}/upgrade", {"code": "AAA-AAA"}).status_code == 403
        assert manager.post(f"{path}/upgrade", {"code": code}).status_code == 404

    def test_none_asked_for_is_404(self, manager: Caller, path: str) -> None:
        assert manager.post(f"{path}/upgrade", {"code": "AAA-AAA"}).status_code == 404

    @pytest.mark.parametrize("target", ["gated_send", "gated_all", "read_only"])
    def test_what_is_not_looser_is_400(self, agent: Caller, path: str, target: str) -> None:
        answer = agent.post(f"{path}/request-upgrade", {"target_mode": target})
        assert (answer.status_code, answer.json()["field"]) == (400, "target_mode")

    def test_a_mailbox_asks_three_times_an_hour(self, agent: Caller, path: str) -> None:
        for _ in range(3):
            assert agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"}).status_code == 200
        refused = agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"})
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= 3600
        OperatorRequest.objects.update(created_at=timezone.now() - timedelta(minutes=61))
        assert agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"}).status_code == 200

    def test_a_code_counts_for_the_mode_that_it_was_asked_from(
        self, manager: Caller, agent: Caller, path: str
    ) -> None:
        agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"})
        manager.patch(path, {"oversight_mode": "read_only"})
        assert manager.post(f"{path}/upgrade", {"code": newest_code()}).status_code == 404
        assert manager.get(path).json()["oversight_mode"] == "read_only"

    def test_without_an_oversight_address_monitored_is_refused_and_the_code_stays_good(
        self, manager: Caller, agent: Caller, path: str
    ) -> None:
        agent.post(f"{path}/request-upgrade", {"target_mode": "monitored"})
        refused = manager.post(f"{path}/upgrade", {"code": newest_code()})
        assert (refused.status_code, refused.json()["code"]) == (400, "invalid")
        oversee("boss@acme.test")
        assert manager.post(f"{path}/upgrade", {"code": newest_code()}).status_code == 200


class TestTheAllowlist:
    def test_it_grows_and_shrinks_with_a_persons_word(self, manager: Caller, path: str) -> None:
        wanted = {"pattern": "*@Partner.test", "note": "our printer"}
        assert manager.post(f"{path}/allowlist", wanted).status_code == 202
        assert manager.get(f"{path}/allowlist").json()["count"] == 0
        added = manager.post(f"{path}/allowlist", wanted | {"approval_code": newest_code()})
        assert (added.status_code, added.json()["pattern"]) == (201, "*@partner.test")
        listed = manager.get(f"{path}/allowlist").json()
        assert [one["note"] for one in listed["entries"]] == ["our printer"]
        entry = f"{path}/allowlist/{added.json()['id']}"
        assert manager.delete(entry).status_code == 202
        assert manager.delete(entry, {"approval_code": newest_code()}).json() == {"status": "removed"}
        assert manager.get(f"{path}/allowlist").json()["entries"] == []

    def test_a_pattern_that_is_none_is_400_at_once(self, manager: Caller, path: str) -> None:
        answer = manager.post(f"{path}/allowlist", {"pattern": "*"})
        assert (answer.status_code, answer.json()["field"]) == (400, "pattern")
        assert not OperatorRequest.objects.exists()


def test_each_request_says_what_it_is_about(manager: Caller, agent: Caller, path: str) -> None:
    manager.patch(path, {"auto_bcc": "boss@acme.test"})
    manager.post(f"{path}/allowlist", {"pattern": "*@partner.test"})
    agent.post(f"{path}/request-upgrade", {"target_mode": "autonomous"})
    said = [one.sentence for one in OperatorRequest.objects.order_by("created_at")]
    assert "boss@acme.test" in said[0]
    assert "*@partner.test" in said[1]
    assert "from gated_send to autonomous" in said[2]


def test_two_requests_for_different_things_have_a_code_each(manager: Caller, path: str) -> None:
    manager.patch(path, {"auto_bcc": "one@acme.test"})
    manager.patch(path, {"auto_bcc": "two@acme.test"})
    codes: set[Any] = {open_code(one) for one in OperatorRequest.objects.all()}
    assert len(codes) == 2
