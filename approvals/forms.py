"""What people type, checked for shape only; the domain judges it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from assistants.models import Assistant, Scope
from mailboxes.models import Mailbox, OversightMode


class SignInForm(AuthenticationForm):
    error_messages = {
        "invalid_login": "This email and password do not go together. After five tries you must wait.",
        "inactive": "This person may no longer sign in.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "Email"
        self.fields["username"].widget = forms.EmailInput(
            attrs={"autocomplete": "username", "autofocus": True}
        )

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).strip().lower()


class DecisionForm(forms.Form):
    """A decision is about a text: the page says which one it showed."""

    revision = forms.IntegerField(min_value=1)
    digest = forms.CharField(max_length=64)
    reason = forms.CharField(required=False, widget=forms.Textarea)
    box = forms.CharField(required=False)
    mailbox = forms.CharField(required=False)
    confirmed = forms.BooleanField(required=False)


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=500)


class ModeForm(forms.Form):
    mode = forms.ChoiceField(choices=OversightMode.choices)


class AllowlistForm(forms.Form):
    pattern = forms.CharField(max_length=320, label="Address or *@domain")
    note = forms.CharField(required=False, max_length=200)


class KeyForm(forms.Form):
    name = forms.CharField(max_length=200, label="Name")
    scopes = forms.MultipleChoiceField(choices=Scope.choices)
    mailboxes = forms.ModelMultipleChoiceField(Mailbox.objects.none())

    def __init__(self, *args: Any, assistant: Assistant, mailboxes: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["mailboxes"].queryset = mailboxes  # type: ignore[attr-defined]
        self.fields["scopes"].choices = [  # type: ignore[attr-defined]
            (scope, scope) for scope in Scope.values if assistant.has_scope(scope)
        ]


class RunForm(forms.Form):
    assistant = forms.ModelChoiceField(Assistant.objects.none(), empty_label=None)
    mailbox = forms.ModelChoiceField(Mailbox.objects.none(), empty_label=None)
    prompt = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), label="What it is to do", max_length=20_000
    )

    def __init__(self, *args: Any, assistants: Any, mailboxes: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["assistant"].queryset = assistants  # type: ignore[attr-defined]
        self.fields["mailbox"].queryset = mailboxes  # type: ignore[attr-defined]
