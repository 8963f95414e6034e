"""Mailboxes: how much is let through, who works there, and holding everything."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Prefetch, Q
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from approvals import actions, permissions
from approvals.actions.oversight import checked_mode
from approvals.errors import DomainError
from approvals.forms import InboundForm, ModeForm, ReasonForm
from approvals.models import MailboxAssistant, OutboundMessage, User
from approvals.views.http import Request, attempt, complain, confirm, page
from approvals.views.mailbox_arriving import fetched_from
from approvals.views.mailbox_delivery import way_of
from approvals.views.rail import ON_THEIR_WAY, WAITING, bounded_count
from assistants.models import ApiKey
from mailboxes import routes
from mailboxes.models import Account, Mailbox, OversightMode

RUNGS = {
    OversightMode.READ_ONLY: "Reads mail; every send is refused.",
    OversightMode.GATED_ALL: "Mail in and mail out both wait for a person.",
    OversightMode.GATED_SEND: "Mail comes in freely; every send waits.",
    OversightMode.MONITORED: "Sends at once, copied to oversight.",
    OversightMode.AUTONOMOUS: "Sends at once, no copy; still in the log.",
}
ON_INBOUND = {
    Mailbox.OnInbound.RUN: "Mail in a conversation continues its assistant's thread; a new conversation "
    "starts a new one; while the thread is busy, mail waits its turn, in order.",
    Mailbox.OnInbound.NOTIFY: "No run is started: mail waits until an assistant or a program reads it.",
}


@require_safe
def mailboxes(request: Request) -> HttpResponse:
    links = MailboxAssistant.objects.select_related("assistant").order_by("assistant__name")
    found = Mailbox.objects.visible_to(request.user).order_by("address")
    return page(
        request,
        "approvals/mailboxes.html",
        "mailboxes",
        mailboxes=found.prefetch_related(Prefetch("assistant_links", links)),
        account=Account.objects.first(),
        denial=permissions.denial(permissions.check_administer, request.user),
    )


@require_safe
def mailbox(request: Request, pk: str) -> HttpResponse:
    box = get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk)
    return page(
        request,
        "approvals/mailbox.html",
        "mailboxes",
        mailbox=box,
        rungs=RUNGS.items(),
        on_inbound=ON_INBOUND.items(),
        account=Account.objects.first(),
        fetched=fetched_from(box),
        server=way_of(box) or routes.shown(settings.EMAIL_URL),
        denial=permissions.denial(permissions.check_administer, request.user, box),
        **_about(box, request.user),
    )


def _about(box: Mailbox, viewer: User) -> dict[str, Any]:
    messages = OutboundMessage.objects.visible_to(viewer).filter(email__mailbox=box)
    keys = ApiKey.objects.filter(mailbox_links__mailbox=box, revoked_at=None)
    return {
        "waiting": bounded_count(messages.filter(status__in=WAITING)),
        "leaving": bounded_count(messages.filter(status__in=ON_THEIR_WAY)),
        "links": box.assistant_links.select_related("assistant__connection").order_by("assistant__name"),
        "keys": keys.select_related("assistant", "integration").order_by("pk"),
        "allowlist": box.allowlist.order_by("pattern"),
        "people": _people(box),
    }


def _people(box: Mailbox) -> list[User]:
    there = Q(all_mailboxes=True) | Q(memberships__mailbox=box)
    return list(User.objects.filter(there, is_active=True).distinct().order_by("email")[:50])


def _box(request: Request, pk: str) -> tuple[Mailbox, str]:
    return get_object_or_404(Mailbox.objects.visible_to(request.user), pk=pk), reverse("mailbox", args=[pk])


@require_POST
def set_mode(request: Request, pk: str) -> HttpResponse:
    box, url = _box(request, pk)
    form = ModeForm(request.POST)
    mode = form.cleaned_data["mode"] if form.is_valid() else ""
    if answer := _asked_to_loosen(request, box, mode, url):
        return answer
    return attempt(
        request, lambda: actions.set_mode(box, mode, by=request.user), f"{box.address} is now in {mode}.", url
    )


def _asked_to_loosen(request: Request, box: Mailbox, mode: str, url: str) -> HttpResponse | None:
    """Stricter can be taken back at any time; mail that left can't."""
    now = OversightMode(box.oversight_mode)
    if permissions.denial(permissions.check_administer, request.user, box):
        return None
    try:
        if not now.is_stricter_than(checked_mode(mode)):
            return None
    except DomainError:
        return None  # nothing to ask about: the change itself says what is wrong
    return confirm(
        request,
        f"Loosen {box.address} to {mode}?",
        f"Now: {RUNGS[now]} Then: {RUNGS[OversightMode(mode)]} It holds for what is sent from then on; what "
        "waits keeps waiting.",
        f"Move it to {mode}",
        url,
        here="mailboxes",
    )


@require_POST
def set_inbound(request: Request, pk: str) -> HttpResponse:
    box, url = _box(request, pk)
    form = InboundForm(request.POST, mailbox=box)
    if not form.is_valid():
        complain(request, "Choose what new mail does, and one of this mailbox's assistants.")
        return redirect(url)
    wanted, assistant = form.cleaned_data["on_inbound"], form.cleaned_data["assistant"]
    starts = wanted == Mailbox.OnInbound.RUN
    done = f"New mail starts runs of {assistant}." if starts else "New mail waits until somebody reads it."
    return attempt(request, lambda: actions.set_inbound(box, wanted, assistant, by=request.user), done, url)


@require_POST
def hold(request: Request, pk: str = "") -> HttpResponse:
    """Without a mailbox: everything, everywhere."""
    box, url = _box(request, pk) if pk else (None, reverse("mailboxes"))
    form = ReasonForm(request.POST)
    reason = form.cleaned_data["reason"] if form.is_valid() else ""
    done = "Held. Nothing leaves until an administrator lifts the hold."
    return attempt(request, lambda: actions.hold(box, by=request.user, reason=reason), done, url)


@require_POST
def lift_hold(request: Request, pk: str = "") -> HttpResponse:
    box, url = _box(request, pk) if pk else (None, reverse("mailboxes"))
    done = "The hold is lifted. What was taken back stays in the queue."
    return attempt(request, lambda: actions.lift_hold(box, by=request.user), done, url)
