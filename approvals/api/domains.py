"""/v1/domains: for keys that administer all mailboxes."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, effects, wire
from approvals.actions.domains import records_of, status_of, verified
from approvals.api import answers
from approvals.api.admin_requests import DomainRequest
from approvals.api.base import View, body, key_of, one, query
from approvals.api.paging import page
from approvals.api.requests import WholeQuery
from approvals.api.schema import operation
from approvals.permissions import check_administer
from assistants.models import Scope
from mailboxes.domain_records import DKIM, MX, RETURN_PATH, SPF
from mailboxes.models import Domain

# what clients wait to read
ACTIVE = "active"


def domain_objects(*domains: Domain) -> list[answers.DomainObject]:
    return [_shown(*one) for one in zip(domains, records_of(*domains), strict=True)]


def _shown(domain: Domain, records: list[Any]) -> answers.DomainObject:
    status = status_of(records).replace("verified", ACTIVE)
    return {
        "id": domain.pk,
        "domain": domain.name,
        "status": status,
        "dkim_verified": verified(records, DKIM),
        "spf_verified": verified(records, SPF),
        "mx_verified": verified(records, MX),
        "return_path_verified": verified(records, RETURN_PATH),
        "dns_records": records,
        "created_at": wire.moment(domain.created_at),
        "checked_at": wire.timestamp(domain.checked_at),
        "verified_at": wire.timestamp(domain.checked_at) if status == ACTIVE else None,
    }


def _domain(request: Request, domain_id: str) -> Domain:
    check_administer(key_of(request))
    return one(Domain.objects.filter(pk=domain_id), "domain")


class DomainsView(View):
    scopes = {"GET": (Scope.ADMIN,), "POST": (Scope.ADMIN,)}

    @operation("list_domains", answers.DomainList, parameters=[WholeQuery])
    def get(self, request: Request) -> Response:
        """The domains that mail leaves from, newest first, with the DNS records that each should have."""
        check_administer(key_of(request))
        found, cursor = page(Domain.objects.all(), query(request, WholeQuery))
        shown = domain_objects(*found)
        return Response({"domains": shown, "items": shown, "cursor": cursor})

    @operation("add_domain", answers.DomainObject, status=201, request=DomainRequest)
    def post(self, request: Request) -> Response:
        """Add one: a DKIM key is made for it, and its records are told. Enter them, and verify."""
        domain = actions.add_domain(body(request, DomainRequest)["domain"], by=key_of(request))
        return Response(domain_objects(domain)[0], status=201)


class DomainView(View):
    scopes = {"GET": (Scope.ADMIN,), "DELETE": (Scope.ADMIN,)}

    @operation("get_domain", answers.DomainObject)
    def get(self, request: Request, domain_id: str) -> Response:
        return Response(domain_objects(_domain(request, domain_id))[0])

    @operation("delete_domain", answers.Status, request=None)
    def delete(self, request: Request, domain_id: str) -> Response:
        """Its keys go too: nothing more is signed for it. Its mailboxes stay."""
        actions.remove_domain(_domain(request, domain_id), by=key_of(request))
        return Response({"status": "deleted"})


class VerifyDomainView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("verify_domain", answers.DomainObject, request=None)
    def post(self, request: Request, domain_id: str) -> Response:
        """Ask the DNS now. Each record tells what was found."""
        domain = effects.verify_domain(_domain(request, domain_id), by=key_of(request))
        return Response(domain_objects(domain)[0])
