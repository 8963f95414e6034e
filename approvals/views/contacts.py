"""Address books: whom each assistant knows by name. For administrators."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions
from approvals.errors import DomainError
from approvals.models import User
from approvals.setup_forms import ContactForm, NewContactForm, blame
from approvals.views.http import Request, administrators_only, attempt, forbidden, newest_first, page, toast
from assistants.models import Assistant, Integration
from mailboxes.models import Contact

HERE = "contacts"


def _found(request: Request) -> QuerySet[Contact]:
    administrators_only(request)
    return Contact.objects.visible_to(request.user)


def _owners(viewer: User) -> dict[str, str]:
    """Whose books the viewer keeps, by id."""
    known = {one.pk: one.name for one in Assistant.objects.visible_to(viewer).order_by("name")}
    if viewer.all_mailboxes:
        known |= {one.pk: f"{one.name} (program)" for one in Integration.objects.order_by("name")}
    return known


@require_safe
def contacts(request: Request) -> HttpResponse:
    words, found = request.GET.get("q", "").strip(), _found(request)
    if words:
        found = found.filter(Q(name__icontains=words) | Q(email__icontains=words))
    listed, owners = newest_first(found, request.GET), _owners(request.user)
    rows = [(one, owners.get(one.owner, "nobody who is left")) for one in listed.rows]
    return page(request, "approvals/contacts.html", HERE, page=listed, rows=rows, words=words)


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    administrators_only(request)
    form = NewContactForm(request.POST or None, owners=_owners(request.user))
    if form.is_valid():
        data = form.cleaned_data
        kept = _kept(request, data["owner"], data["email"], form)
        if kept:
            toast(request, f"{kept} is in the address book.")
            return redirect("contacts")
    return page(request, "approvals/contact.html", HERE, form=form, contact=None)


@require_http_methods(["GET", "HEAD", "POST"])
def contact(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_found(request), pk=pk)
    form = ContactForm(request.POST or None, initial={"name": found.name, "tags": ", ".join(found.tags)})
    if form.is_valid() and _kept(request, found.owner, found.email, form):
        toast(request, "Saved.")
        return redirect("contacts")
    owner = _owners(request.user).get(found.owner, "nobody who is left")
    return page(request, "approvals/contact.html", HERE, form=form, contact=found, owner=owner)


def _kept(request: Request, owner: str, email: str, form: ContactForm) -> Contact | None:
    name, tags = form.cleaned_data["name"], form.cleaned_data["tags"]
    try:
        return actions.keep_contact(owner, email, name=name, tags=tags, by=request.user)
    except DomainError as error:
        forbidden(error)
        blame(form, error)
    return None


@require_POST
def remove(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_found(request), pk=pk)
    done = f"{found} is no longer in the address book."
    return attempt(request, lambda: actions.remove_contact(found, by=request.user), done, "/contacts")
