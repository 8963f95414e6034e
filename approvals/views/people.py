"""Coming in, going out, and who there is."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import actions, permissions, sign_in
from approvals.errors import DomainError
from approvals.forms import SignInForm
from approvals.models import Membership, User
from approvals.setup_forms import NewPersonForm, PersonForm, blame
from approvals.views.http import Request, attempt, check_administers, page, toast
from mailboxes.models import Mailbox


class SignIn(LoginView):
    template_name = "approvals/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: SignInForm) -> HttpResponse:  # type: ignore[override]
        response = super().form_valid(form)
        user = form.get_user()
        if isinstance(user, User):
            sign_in.record_password(user)
        return response


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def link(request: HttpRequest, token: str) -> HttpResponse:
    """Mail scanners and previews follow links, so looking at one spends nothing."""
    if request.method == "POST":
        user = sign_in.spend_link(token)
        if user is None:
            return render(request, "approvals/sign_in_link.html", {"link": None}, status=410)
        login(request, user, backend="django.contrib.auth.backends.ModelBackend")
        return redirect("queue")
    found = sign_in.find_link(token)
    return render(request, "approvals/sign_in_link.html", {"link": found}, status=200 if found else 410)


@require_safe
def people(request: Request) -> HttpResponse:
    near = Membership.objects.filter(request.user.mailbox_reach("mailbox")).select_related("mailbox")
    everyone = User.objects.order_by("email").prefetch_related(Prefetch("memberships", near))
    manages = not permissions.denial(permissions.check_administer, request.user)
    return page(request, "approvals/people.html", "people", people=everyone, manages=manages)


def _administrators_of_everything(request: Request) -> QuerySet[User]:
    check_administers(request)
    return User.objects.all()


def _mailboxes() -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(is_active=True).order_by("address")


@require_http_methods(["GET", "HEAD", "POST"])
def new(request: Request) -> HttpResponse:
    _administrators_of_everything(request)
    form = NewPersonForm(request.POST or None, mailboxes=_mailboxes())
    if form.is_valid():
        data = form.cleaned_data
        try:
            made = actions.create_person(data["email"], data["roles"], form.mailboxes_chosen, by=request.user)
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, f"{made.email} gets a link to sign in by mail.")
            return redirect("people")
    return page(request, "approvals/person.html", "people", form=form, person=None)


@require_http_methods(["GET", "HEAD", "POST"])
def person(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_administrators_of_everything(request), pk=pk)
    boxes = [] if found.all_mailboxes else list(found.memberships.values_list("mailbox", flat=True))
    initial = {"roles": found.roles, "all_mailboxes": found.all_mailboxes, "mailboxes": boxes}
    form = PersonForm(request.POST or None, mailboxes=_mailboxes(), initial=initial)
    if form.is_valid():
        try:
            actions.change_person(found, form.cleaned_data["roles"], form.mailboxes_chosen, by=request.user)
        except DomainError as error:
            blame(form, error)
        else:
            toast(request, "Saved. It holds from the next page on.")
            return redirect("people")
    return page(request, "approvals/person.html", "people", form=form, person=found)


@require_POST
def mail_link(request: Request, pk: str) -> HttpResponse:
    found = get_object_or_404(_administrators_of_everything(request), pk=pk)
    done, url = f"A link to sign in is on its way to {found.email}.", reverse("person", args=[pk])
    return attempt(request, lambda: actions.let_in(found, by=request.user), done, url)


@require_POST
def turn(request: Request, pk: str, way: str) -> HttpResponse:
    """`way`: on or off."""
    found = get_object_or_404(_administrators_of_everything(request), pk=pk)
    on, url = way == "on", reverse("person", args=[pk])
    done = f"{found.email} may sign in again." if on else f"{found.email} is signed out, and may not sign in."
    return attempt(request, lambda: actions.set_active(found, on, by=request.user), done, url)
