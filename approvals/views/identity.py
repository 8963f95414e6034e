"""The keys that sign what leaves here, for administrators of all of it."""

from __future__ import annotations

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from approvals import actions, permissions
from approvals.views.http import Request, attempt, page
from mailboxes import identity as identities


@require_safe
def identity(request: Request) -> HttpResponse:
    if denial := permissions.denial(permissions.check_administer, request.user):
        raise PermissionDenied(denial)
    keys = [(key, identities.published(key)["kid"]) for key in identities.all_keys()]
    address = settings.PUBLIC_URL + reverse("signing_key")
    return page(request, "approvals/identity.html", "identity", keys=keys, address=address)


@require_POST
def rotate(request: Request) -> HttpResponse:
    done = "What leaves from now on is signed with a new key. Older mail still verifies."
    return attempt(request, lambda: actions.rotate_signing_key(by=request.user), done, reverse("identity"))
