"""What people type, checked for shape only; the domain judges it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.db.models import QuerySet

from approvals import webhooks
from approvals.actions.connections import NEEDED, SECRETS
from approvals.provisioning.shape import COLUMNS, FIELDS, REFUSED, Refused, parse_json
from approvals.setup_forms import Checks, described
from assistants.models import Assistant, Connection
from assistants.runtimes import ids
from mailboxes.models import Mailbox, OversightMode


def secret_field(label: str) -> forms.CharField:
    """Typed anew each time: what is stored is shown never."""
    widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "off"})
    return forms.CharField(label=label, required=False, widget=widget)


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


class TimeForm(DecisionForm):
    """Written in UTC, as every time is shown."""

    send_at = forms.DateTimeField(error_messages={"invalid": "Write the time like 2026-11-30 09:00."})


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=500)


class ModeForm(forms.Form):
    mode = forms.ChoiceField(choices=OversightMode.choices)


class DomainForm(forms.Form):
    domain = forms.CharField(label="Domain", max_length=253)


class DeliveryForm(forms.Form):
    """The parts of a URL as EMAIL_URL is written."""

    via = forms.ChoiceField(
        label="By",
        required=False,
        choices=[
            ("", "As everybody's"),
            ("smtp", "An SMTP server (STARTTLS)"),
            ("smtps", "An SMTP server (TLS from the start)"),
            ("mailgun", "Mailgun"),
            ("ses", "Amazon SES"),
            ("sparkpost", "SparkPost"),
            ("postal", "Postal"),
        ],
    )
    host = forms.RegexField(r"^[\w.:\[\]-]*$", label="Host", required=False, max_length=253)
    port = forms.IntegerField(label="Port", required=False, min_value=1, max_value=65535)
    user = forms.CharField(label="User", required=False, max_length=200)
    secret = secret_field("Password or key")
    path = forms.RegexField(r"^[\w.-]*$", label="Domain at the provider", required=False, max_length=253)

    @property
    def url(self) -> str:
        given = self.cleaned_data
        if not given["via"]:
            return ""
        user, secret = quote(given["user"], safe=""), quote(given["secret"], safe="")
        who = f"{user}:{secret}@" if user or secret else ""
        port = f":{given['port']}" if given["port"] else ""
        path = f"/{given['path']}" if given["path"] else ""
        return f"{given['via']}://{who}{given['host']}{port}{path}"


class ImapForm(forms.Form):
    """The parts of a URL as mailboxes/imap.py reads it."""

    security = forms.ChoiceField(
        label="Connection",
        choices=[
            ("tls", "TLS from the start"),
            ("starttls", "STARTTLS"),
            ("none", "Without TLS, on this machine"),
        ],
    )
    host = forms.RegexField(r"^[\w.:\[\]-]*$", label="Host", max_length=253)
    port = forms.IntegerField(label="Port", required=False, min_value=1, max_value=65535)
    user = forms.CharField(label="User", max_length=200)
    password = secret_field("Password")
    folder = forms.CharField(label="Folder", max_length=200, initial="INBOX", required=False)
    takes_existing = forms.BooleanField(label="Also take what is there already", required=False)

    @property
    def url(self) -> str:
        given = self.cleaned_data
        names = {name: quote(given[name], safe="") for name in ("user", "password", "folder")}
        port = f":{given['port']}" if given["port"] else ""
        scheme = "imaps" if given["security"] == "tls" else "imap"
        tls = "?tls=none" if given["security"] == "none" else ""
        who = f"{names['user']}:{names['password']}"
        return f"{scheme}://{who}@{given['host']}{port}/{names['folder']}{tls}"


class WebhookEventsForm(forms.Form):
    events = forms.MultipleChoiceField(choices=described(webhooks.EVENTS), widget=Checks, label="Events")


class WebhookForm(WebhookEventsForm):
    url = forms.CharField(label="Address", max_length=2000)
    mailbox = forms.ChoiceField(label="Mailbox", required=False)

    def __init__(self, *args: Any, boxes: QuerySet[Mailbox], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._boxes = {box.pk: box for box in boxes}
        choices = [("", "All mailboxes"), *((pk, str(box)) for pk, box in self._boxes.items())]
        self.fields["mailbox"] = forms.ChoiceField(label="Mailbox", required=False, choices=choices)

    @property
    def mailbox_chosen(self) -> Mailbox | None:
        return self._boxes.get(self.cleaned_data["mailbox"])


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


class AdoptForm(forms.Form):
    """A run by the ids that its server gave it."""

    assistant = forms.ModelChoiceField(Assistant.objects.none(), empty_label=None)
    thread_id = forms.CharField(max_length=200, label="Thread", validators=[ids.check])
    run_id = forms.CharField(max_length=200, label="Run", validators=[ids.check])

    def __init__(self, *args: Any, assistants: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["assistant"].queryset = assistants  # type: ignore[attr-defined]


Protocol = Connection.Protocol
SERVED_ELSEWHERE = (
    "base_url",
    "api_version",
    "model",
    "models",
    "timeout",
    "hold_policy",
    "polls_per_minute",
)
# which of a connection's fields mean something, by protocol
FIELDS_OF = {
    Protocol.CHAT_COMPLETIONS: (
        "base_url",
        "api_version",
        "model",
        "models",
        "timeout",
        "retries",
        "hold_policy",
    ),
    Protocol.SCRIPTED: ("script", "hold_policy"),
    Protocol.ASSISTANTS: SERVED_ELSEWHERE,
    Protocol.RESPONSES: SERVED_ELSEWHERE,
    Protocol.AGENTS: SERVED_ELSEWHERE,
}
SECRETS_OF = {
    Protocol.CHAT_COMPLETIONS: ("api_key",),
    Protocol.SCRIPTED: (),
    Protocol.ASSISTANTS: ("api_key",),
    Protocol.RESPONSES: SECRETS,
    Protocol.AGENTS: SECRETS,
}
SPARE_ROWS = 2


class SecretForm(forms.Form):
    value = secret_field("New value")

    def __init__(self, *args: Any, name: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = name

    def clean_value(self) -> str:
        return str(parsed_field(self, self.name, self.cleaned_data["value"], under="value"))


class ConnectionForm(forms.Form):
    """May hold what a document may say of a connection: the parsers are the same."""

    name = forms.CharField(label="Name")
    base_url = forms.CharField(label="Base URL", required=False)
    api_version = forms.CharField(label="API version", required=False)
    api_key = secret_field("API key")
    model = forms.CharField(label="Model", required=False)
    models = forms.Field(label="Model map", required=False)  # two columns of inputs, see `rows`
    script = forms.CharField(label="Script", required=False, widget=forms.Textarea(attrs={"rows": 12}))
    timeout = forms.FloatField(label="Timeout", required=False)
    retries = forms.IntegerField(label="Retries", required=False)
    hold_policy = forms.CharField(label="Hold policy", required=False)
    polls_per_minute = forms.IntegerField(label="Polls per minute", initial=60)

    def __init__(self, *args: Any, row: Connection, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial = {} if row._state.adding else _as_typed(row)
        protocol = Protocol(row.protocol)
        shown = {"name", *FIELDS_OF[protocol]}
        if row._state.adding and SECRETS_OF[protocol]:
            shown.add("api_key")
        for name in self.fields.keys() - shown:
            del self.fields[name]
        for name in NEEDED[protocol]:
            self.fields[name].required = True

    @property
    def rows(self) -> list[tuple[str, str]]:
        """(asked, served) as it stands in the form, and empty ones to write into."""
        if self.is_bound:
            known = [row for row in self._typed_rows() if any(row)]
        else:
            known = list((self.initial.get("models") or {}).items())
        return [*known, *[("", "")] * SPARE_ROWS]

    def _typed_rows(self) -> list[tuple[str, str]]:
        asked, served = self.data.getlist("asked"), self.data.getlist("served")  # type: ignore[attr-defined]
        return [(one.strip(), other.strip()) for one, other in zip(asked, served, strict=False)]

    def clean_models(self) -> dict[str, str]:
        typed = [row for row in self._typed_rows() if any(row)]
        if not all(asked for asked, _ in typed):
            raise forms.ValidationError("A row names what is served, and not what is asked for.")
        if len(dict(typed)) < len(typed):
            raise forms.ValidationError("One name is asked for in two rows.")
        return dict(typed)

    def clean_hold_policy(self) -> str | None:
        return self.cleaned_data["hold_policy"] or None

    def clean_script(self) -> Any:
        try:
            return parse_json(self.cleaned_data["script"].encode())
        except Refused as refused:
            raise forms.ValidationError([f"{at}: {text}" for at, text in refused.problems.items()]) from None

    def clean(self) -> None:
        """To what is stored, by the names of the model's fields."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "api_key" or value}
        parsed = {name: parsed_field(self, name, value) for name, value in given.items()}
        self.wanted = {COLUMNS.get(name, name): value for name, value in parsed.items()}
        if self.errors:
            self.ask_for_the_key_again()

    def ask_for_the_key_again(self) -> None:
        """Something else is wrong, and what was typed as a secret is not shown again."""
        if "api_key" in self.fields and self.data.get(self.add_prefix("api_key")):
            self.add_error("api_key", "Type it again: a key is never sent back to the page.")


def parsed_field(form: forms.Form, name: str, value: Any, *, under: str = "") -> Any:
    """`value` as a document's parser takes it; what it refuses stands as an error at the field."""
    field = under or name
    label = name if name in ("models", "script") else form.fields[field].label

    def refuse(path: str, sentence: str) -> None:
        form.add_error(field, f"{path} {sentence}.")

    parsed = FIELDS["connections"][name](value, str(label), refuse)
    return value if parsed is REFUSED else parsed


def _as_typed(row: Connection) -> dict[str, Any]:
    written = {
        name: getattr(row, COLUMNS.get(name, name)) for name in ("name", *FIELDS_OF[Protocol(row.protocol)])
    }
    if isinstance(written.get("timeout"), float) and written["timeout"].is_integer():
        written["timeout"] = int(written["timeout"])
    if "script" in written:
        written["script"] = json.dumps(written["script"], indent=2, ensure_ascii=False)
    return written


class AssistantConnectionForm(forms.Form):
    connection = forms.ModelChoiceField(
        Connection.objects.order_by("name"), required=False, empty_label="None of ours: it runs elsewhere"
    )


class InboundForm(forms.Form):
    on_inbound = forms.ChoiceField(choices=Mailbox.OnInbound.choices)
    assistant = forms.ModelChoiceField(Assistant.objects.none(), required=False, empty_label="Nobody")

    def __init__(self, *args: Any, mailbox: Mailbox, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = Assistant.objects.filter(mailbox_links__mailbox=mailbox).order_by("name")
        self.fields["assistant"].queryset = own  # type: ignore[attr-defined]
