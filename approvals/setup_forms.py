"""What administrators type when they set things up, checked for shape only; the domain judges it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html

from approvals.errors import DomainError, Invalid
from assistants.models import Assistant, Integration, Scope
from mailboxes.models import GateTiming, Mailbox, OversightMode

SCOPES = {
    Scope.READ: "reads mail, threads and its own messages",
    Scope.SEND: "sends mail, as the oversight mode lets it, and keeps contacts",
    Scope.ADMIN: "changes its mailboxes and asks for new ones; reads and sends too",
    Scope.OVERSIGHT: "decides what waits; never together with send or admin, never an assistant's",
    Scope.OVERSIGHT_READ: "sees what waits, and decides nothing",
}
NEW_PROGRAM = "new"


def blame(form: forms.Form, error: DomainError, names: dict[str, str] | None = None) -> None:
    """The sentence beside the field that it is about. `names`: our fields, by the domain's."""
    if not isinstance(error, Invalid):
        form.add_error(None, error.sentence)
        return
    for one in error.fields:
        name = (names or {}).get(one["field"], one["field"])
        form.add_error(name if name in form.fields else None, one["message"])


class Checks(forms.CheckboxSelectMultiple):
    pass


def described(choices: dict[Any, str]) -> list[tuple[str, str]]:
    """Choices with what they mean."""
    return [
        (value, format_html("<code>{}</code> <span>{}</span>", value, words))
        for value, words in choices.items()
    ]


class DayField(forms.DateField):
    """A day, in UTC."""

    widget = forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")


class KeyForm(forms.Form):
    name = forms.CharField(max_length=200, label="Name")
    scopes = forms.MultipleChoiceField(choices=described(SCOPES), widget=Checks, label="May")
    mailboxes = forms.ModelMultipleChoiceField(
        Mailbox.objects.none(), widget=Checks, label="Mailboxes", required=False
    )
    expires_on = DayField(label="Last day", required=False)

    def __init__(self, *args: Any, mailboxes: QuerySet[Mailbox], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mailboxes"].queryset = mailboxes  # type: ignore[attr-defined]

    def clean_expires_on(self) -> datetime | None:
        """The end of that day."""
        day = self.cleaned_data["expires_on"]
        if day is None:
            return None
        if day < timezone.now().date():
            raise forms.ValidationError("This day has passed. Leave it empty for a key that does not end.")
        return datetime.combine(day + timedelta(days=1), time.min, UTC)


class NewKeyForm(KeyForm):
    owner = forms.ChoiceField(label="For")
    program = forms.CharField(max_length=200, label="Name of the new program", required=False)
    all_mailboxes = forms.BooleanField(label="All mailboxes, now and later", required=False)

    field_order = ("name", "owner", "program", "scopes", "all_mailboxes", "mailboxes", "expires_on")

    def __init__(
        self,
        *args: Any,
        assistants: Iterable[Assistant],
        programs: Iterable[Integration],
        wide: bool,
        **kwargs: Any,
    ) -> None:
        """`wide`: made by somebody who administers all mailboxes, and may so make keys of programs."""
        super().__init__(*args, **kwargs)
        own, others = {one.pk: one for one in assistants}, {one.pk: one for one in programs}
        self.owners: dict[str, Assistant | Integration] = {**own, **others}
        groups: list[Any] = [
            ("Assistants, and what they may", [(pk, _with_scopes(one)) for pk, one in own.items()])
        ]
        if wide:
            known = [(pk, str(one)) for pk, one in others.items()]
            groups.append(("Programs", [*known, (NEW_PROGRAM, "A new program")]))
        else:
            del self.fields["program"], self.fields["all_mailboxes"]
        choices = [("", "Choose"), *[group for group in groups if group[1]]]
        self.fields["owner"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> None:
        data = self.cleaned_data
        if data.get("owner") == NEW_PROGRAM and not data.get("program"):
            self.add_error("program", "Say what the new program is called.")
        if data.get("all_mailboxes") and isinstance(self.owners.get(data.get("owner", "")), Assistant):
            self.add_error(
                "all_mailboxes", "An assistant's key lists its mailboxes; a program's may have all."
            )
        elif not data.get("all_mailboxes") and not data.get("mailboxes") and "mailboxes" not in self.errors:
            self.add_error("mailboxes", "Choose at least one mailbox.")

    @property
    def owner_chosen(self) -> Assistant | Integration:
        chosen = self.cleaned_data["owner"]
        return (
            Integration(name=self.cleaned_data["program"]) if chosen == NEW_PROGRAM else self.owners[chosen]
        )


def _with_scopes(assistant: Assistant) -> str:
    return f"{assistant} ({', '.join(assistant.scopes) or 'may nothing'})"


class ContactForm(forms.Form):
    name = forms.CharField(max_length=200, label="Name", required=False)
    tags = forms.CharField(max_length=1000, label="Tags", required=False)

    def clean_tags(self) -> list[str]:
        typed = [tag.strip() for tag in str(self.cleaned_data["tags"]).split(",")]
        return list(dict.fromkeys(tag for tag in typed if tag))


class NewContactForm(ContactForm):
    owner = forms.ChoiceField(label="In the address book of")
    email = forms.CharField(max_length=320, label="Address")

    field_order = ("owner", "email", "name", "tags")

    def __init__(self, *args: Any, owners: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["owner"].choices = list(owners.items())  # type: ignore[attr-defined]


class SuppressionForm(forms.Form):
    address = forms.CharField(max_length=320, label="Address")
    reason = forms.CharField(max_length=200, label="Why")


class AllowForm(forms.Form):
    mailbox = forms.ModelChoiceField(Mailbox.objects.none(), label="Mail from", empty_label=None)
    pattern = forms.CharField(max_length=320, label="To")
    note = forms.CharField(max_length=200, label="Note", required=False)

    def __init__(self, *args: Any, mailboxes: QuerySet[Mailbox], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mailbox"].queryset = mailboxes  # type: ignore[attr-defined]


class AccountForm(forms.Form):
    name = forms.CharField(max_length=200, label="Name")
    oversight_email = forms.CharField(max_length=320, label="Oversight address", required=False)
    physical_address = forms.CharField(
        max_length=2000, label="Postal address", required=False, widget=forms.Textarea(attrs={"rows": 3})
    )
    monthly_email_quota = forms.IntegerField(
        label="Messages in a month", required=False, min_value=0, max_value=1_000_000_000
    )
    max_mailboxes = forms.IntegerField(label="Mailboxes", required=False, min_value=0, max_value=1_000_000)


class NewMailboxForm(forms.Form):
    address = forms.CharField(max_length=320, label="Address")
    display_name = forms.CharField(max_length=200, label="Display name", required=False)
    oversight_mode = forms.ChoiceField(
        choices=OversightMode.choices, label="Oversight mode", widget=forms.RadioSelect, initial="gated_send"
    )


TIMINGS = {
    GateTiming.GATE_FIRST: "a person decides now, and it leaves at its time",
    GateTiming.SCHEDULE_FIRST: "nobody is asked before its time has come",
}


class MailboxForm(forms.Form):
    """Its fields are the domain's settings, by their names."""

    display_name = forms.CharField(max_length=200, label="Display name", required=False)
    signature_block = forms.CharField(
        max_length=1000, label="Signature", required=False, widget=forms.Textarea(attrs={"rows": 4})
    )
    auto_cc = forms.CharField(max_length=320, label="Cc of each mail", required=False)
    auto_bcc = forms.CharField(max_length=320, label="Bcc of each mail", required=False)
    ai_disclosure = forms.BooleanField(label="Say that an AI wrote it", required=False)
    is_bulk = forms.BooleanField(label="Bulk mail, such as a newsletter", required=False)
    forward_inbound = forms.BooleanField(label="Copy new mail to the oversight address", required=False)
    approvals_needed = forms.IntegerField(label="Approvals", min_value=1, max_value=5)
    deadline_hours = forms.IntegerField(label="Deadline in hours", min_value=1, max_value=24 * 60)
    scheduling_enabled = forms.BooleanField(label="Mail may leave later", required=False)
    default_gate_timing = forms.ChoiceField(
        choices=described(TIMINGS), label="Mail that leaves later", widget=forms.RadioSelect
    )


ROLES = {
    "reviewer": "sees what waits, edits and decides",
    "administrator": "sets things up, and decides nothing",
    "auditor": "sees everything, and changes nothing",
}


class PersonForm(forms.Form):
    roles = forms.MultipleChoiceField(choices=described(ROLES), label="Roles", widget=Checks)
    all_mailboxes = forms.BooleanField(label="All mailboxes, now and later", required=False)
    mailboxes = forms.ModelMultipleChoiceField(
        Mailbox.objects.none(), widget=Checks, label="Or these", required=False
    )

    def __init__(self, *args: Any, mailboxes: QuerySet[Mailbox], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mailboxes"].queryset = mailboxes  # type: ignore[attr-defined]

    def clean(self) -> None:
        if not self.cleaned_data.get("all_mailboxes") and not self.cleaned_data.get("mailboxes"):
            self.add_error("mailboxes", "Choose all mailboxes, or at least one.")

    @property
    def mailboxes_chosen(self) -> list[Mailbox] | None:
        """None: all of them."""
        return None if self.cleaned_data["all_mailboxes"] else list(self.cleaned_data["mailboxes"])


class NewPersonForm(PersonForm):
    email = forms.EmailField(max_length=320, label="Email")

    field_order = ("email", "roles", "all_mailboxes", "mailboxes")
