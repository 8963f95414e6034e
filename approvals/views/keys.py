"""Keys: who holds one, what it may, and ending it. For administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions
from approvals.errors import DomainError
from approvals.models import KeyMailbox, User
from approvals.permissions import check_manage_key, denial
from approvals.setup_forms import KeyForm, NewKeyForm, blame
from approvals.views.http import Request, administrators_only, attempt, forbidden, newest_first, page, toast
from assistants.models import ApiKey, Assistant, Integration
from mailboxes.models import Mailbox

HERE = "keys"
STATES = {"working": "Working", "ended": "Ended", "unused": "Unused for 30 days"}
FIELDS = {"expires_at": "expires_on"}


def _found(request: Request) -> QuerySet[ApiKey]:
    """With those of their mailboxes that the viewer may know, and how many there are."""
    administrators_only(request)
    links = KeyMailbox.objects.filter(request.user.mailbox_reach("mailbox")).select_related("mailbox")
    found = ApiKey.objects.visible_to(request.user).select_related("assistant", "integration")
    known = Prefetch("mailbox_links", links.order_by("mailbox__address"))
    return found.annotate(reach=Count("mailbox_links")).prefetch_related(known)


@require_safe
def keys(request: Request) -> HttpResponse:
    state = request.GET.get("state", "working")
    found = _in_state(_found(request), state)
    tabs = [(name, label, name == state) for name, label in STATES.items()]
    rows = newest_first(found, request.GET)
    context: dict[str, Any] = {"tabs": tabs, "state": state, "is_known": state in STATES}
    return page(request, "approvals/keys.html", HERE, page=rows, now=timezone.now(), **context)


def _in_state(found: Any, state: str) -> QuerySet[ApiKey]:
    """None of them for a state that there is not."""
    now = timezone.now()
    live: QuerySet[ApiKey] = found.live(now)
    ended: QuerySet[ApiKey] = found.exclude(pk__in=ApiKey.objects.live(now).values("pk"))
    since = now - timedelta(days=30)
    unused = live.filter(created_at__lt=since).exclude(last_used_at__gte=since)
    return {"working": live, "ended": ended, "unused": unused}.get(state, live.none())


def _mailboxes(request: Request) -> QuerySet[Mailbox]:
    return Mailbox.objects.visible_to(request.user).filter(is_active=True).order_by("address")


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    """POST makes a key. Its secret is on this one answer and nowhere else, so there is no redirect."""
    administrators_only(request)
    form = _new_form(request)
    if form.is_valid():
        data = form.cleaned_data
        try:
            key, secret = actions.create_key(
                form.owner_chosen,
                name=data["name"],
                scopes=data["scopes"],
                mailboxes=() if data.get("all_mailboxes") else data["mailboxes"],
                all_mailboxes=bool(data.get("all_mailboxes")),
                expires_at=data["expires_on"],
                by=request.user,
            )
        except DomainError as error:
            forbidden(error)
            blame(form, error, FIELDS)
        else:
            context: dict[str, Any] = {"key": key, "secret": secret, "public_url": settings.PUBLIC_URL}
            return page(request, "approvals/key_made.html", HERE, **context)
    return page(request, "approvals/key_new.html", HERE, form=form)


def _new_form(request: Request) -> NewKeyForm:
    user, owner = request.user, request.GET.get("owner", "")
    programs = Integration.objects.order_by("name") if user.all_mailboxes else Integration.objects.none()
    assistants = Assistant.objects.visible_to(user).filter(is_active=True).order_by("name")
    chosen = next((one for one in assistants if one.pk == owner), None)
    own = [link.mailbox_id for link in chosen.mailbox_links.all()] if chosen else []
    return NewKeyForm(
        request.POST or None,
        mailboxes=_mailboxes(request),
        assistants=assistants,
        programs=programs,
        wide=user.all_mailboxes,
        initial={"owner": owner, "scopes": chosen.scopes if chosen else ["read"], "mailboxes": own},
    )


@require_http_methods(["GET", "HEAD", "POST"])
def key(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_found(request), pk=pk)
    form = KeyForm(request.POST or None, mailboxes=_mailboxes(request), initial=_as_typed(found))
    if found.all_mailboxes:
        del form.fields["mailboxes"]
    if form.is_valid() and _changed(request, found, form):
        toast(request, "Saved. It holds from the next call on.")
        return redirect("key", pk)
    return page(
        request,
        "approvals/key.html",
        HERE,
        key=found,
        form=form,
        denial=_denial(request.user, found),
        is_live=found.revoked_at is None and not _is_over(found),
        is_over=_is_over(found),
    )


def _denial(user: User, found: ApiKey) -> str:
    """Why not this one, as the action itself would say."""
    boxes = KeyMailbox.objects.filter(key=found).values_list("mailbox_id", flat=True)
    return denial(lambda: check_manage_key(user, boxes, all_mailboxes=found.all_mailboxes))


def _is_over(found: ApiKey) -> bool:
    return found.expires_at is not None and found.expires_at <= timezone.now()


def _as_typed(found: ApiKey) -> dict[str, Any]:
    last = found.expires_at - timedelta(seconds=1) if found.expires_at else None
    boxes = [link.mailbox_id for link in found.mailbox_links.all()]
    return {
        "name": found.name,
        "scopes": found.scopes,
        "mailboxes": boxes,
        "expires_on": last and last.date(),
    }


def _changed(request: Request, found: ApiKey, form: KeyForm) -> bool:
    data = form.cleaned_data
    try:
        actions.change_key(
            found,
            name=data["name"],
            scopes=data["scopes"],
            mailboxes=data.get("mailboxes"),
            expires_at=data["expires_on"],
            never_expires=data["expires_on"] is None,
            by=request.user,
        )
    except DomainError as error:
        forbidden(error)
        blame(form, error, FIELDS)
        return False
    return True


@require_POST
def revoke(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_found(request), pk=pk)
    done, url = f"“{found.name}” no longer works.", reverse("key", args=[pk])
    return attempt(request, lambda: actions.revoke_key(found, by=request.user), done, url)
