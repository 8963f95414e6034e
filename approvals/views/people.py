"""Coming in, going out, and who there is."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from approvals import sign_in
from approvals.forms import SignInForm
from approvals.models import Membership, User
from approvals.views.http import Request, page


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
    return page(request, "approvals/people.html", "people", people=everyone)
