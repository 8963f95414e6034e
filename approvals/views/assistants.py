"""Assistants, with their keys and where their runs are served."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from approvals import actions, permissions
from approvals.forms import AssistantConnectionForm
from approvals.models import KeyMailbox, MailboxAssistant, User
from approvals.views.http import Request, attempt, complain, page
from assistants.models import ApiKey, Assistant, Connection, Integration
from mailboxes.models import Mailbox


@require_safe
def assistants(request: Request) -> HttpResponse:
    live = ApiKey.objects.live(timezone.now())
    links = MailboxAssistant.objects.filter(request.user.mailbox_reach("mailbox"))
    links = links.select_related("mailbox").order_by("mailbox__address")
    found = Assistant.objects.visible_to(request.user).select_related("connection").order_by("name")
    found = found.prefetch_related(Prefetch("keys", live), Prefetch("mailbox_links", links))
    programs = (
        Integration.objects.order_by("name") if request.user.all_mailboxes else Integration.objects.none()
    )
    programs = programs.prefetch_related(Prefetch("keys", live))
    return page(request, "approvals/assistants.html", "assistants", assistants=found, integrations=programs)


@require_safe
def assistant(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(Assistant.objects.visible_to(request.user).select_related("connection"), pk=pk)
    return page(
        request,
        "approvals/assistant.html",
        "assistants",
        assistant=found,
        mailboxes=_mailboxes_of(found, request.user),
        keys=_keys_of(found, request.user),
        now=timezone.now(),
        connections=Connection.objects.order_by("name"),
        denial=permissions.denial(permissions.check_administer, request.user),
    )


@require_POST
def choose_connection(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(Assistant.objects.visible_to(request.user).select_related("connection"), pk=pk)
    url = reverse("assistant", args=[pk])
    form = AssistantConnectionForm(request.POST)
    if not form.is_valid():
        complain(request, "There is no such connection any more. Choose another one.")
        return redirect(url)
    chosen = form.cleaned_data["connection"]
    done = f"The next run of {found.name} goes over {chosen or 'nothing of ours'}."
    return attempt(request, lambda: actions.choose_connection(found, chosen, by=request.user), done, url)


def _mailboxes_of(owner: Assistant, viewer: User) -> QuerySet[Mailbox]:
    return Mailbox.objects.visible_to(viewer).filter(assistant_links__assistant=owner).order_by("address")


def _keys_of(owner: Assistant, viewer: User) -> QuerySet[ApiKey]:
    links = KeyMailbox.objects.filter(viewer.mailbox_reach("mailbox")).select_related("mailbox")
    keys = ApiKey.objects.filter(assistant=owner).select_related("assistant").order_by("revoked_at", "-pk")
    return keys.prefetch_related(Prefetch("mailbox_links", links))
