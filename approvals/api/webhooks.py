"""/v1/webhooks, their deliveries, and the webhooks of one mailbox."""

from __future__ import annotations

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from approvals import actions, wire
from approvals.actions.webhooks import checked
from approvals.api import answers
from approvals.api.admin_requests import DeliveryQuery, WebhookChange, WebhookRequest
from approvals.api.base import View, body, key_of, mailbox_of, one, query
from approvals.api.paging import page
from approvals.api.requests import WholeQuery
from approvals.api.schema import operation
from approvals.api.two_step import two_step
from approvals.models import OperatorRequest, WebhookDelivery, WebhookEndpoint
from assistants.models import ApiKey, Scope
from mailboxes.models import Mailbox

PENDING = {202: answers.PendingApproval}


def webhook_object(endpoint: WebhookEndpoint) -> answers.WebhookObject:
    return {
        "id": endpoint.pk,
        "url": endpoint.url,
        "events": endpoint.events,
        "mailbox_id": endpoint.mailbox_id,
        "is_active": endpoint.is_active,
        "status": "active" if endpoint.is_active else "disabled",
        "disabled_reason": endpoint.disabled_reason,
        "created_at": wire.moment(endpoint.created_at),
    }


def delivery_object(delivery: WebhookDelivery) -> answers.DeliveryObject:
    return {
        "id": delivery.pk,
        "webhook_id": delivery.endpoint_id,
        "event_type": delivery.event_type,
        "url": delivery.endpoint.url,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "response_status": delivery.response_status,
        "created_at": wire.moment(delivery.created_at),
        "last_attempt_at": wire.timestamp(delivery.last_attempt_at),
    }


def _list(request: Request, mailbox: Mailbox | None = None) -> Response:
    found = WebhookEndpoint.objects.visible_to(key_of(request))
    rows, cursor = page(found.filter(mailbox=mailbox) if mailbox else found, query(request, WholeQuery))
    shown = [webhook_object(endpoint) for endpoint in rows]
    return Response({"webhooks": shown, "subscriptions": shown, "items": shown, "cursor": cursor})


def _create(key: ApiKey, data: dict[str, Any], mailbox: Mailbox | None) -> Response:
    url, events = checked(data["url"], data["events"])

    def make() -> Response:
        endpoint, secret = actions.create_endpoint(
            url, events, mailbox, secret=data.get("secret", ""), by=key
        )
        return Response({**webhook_object(endpoint), "signing_secret": secret}, status=201)

    if mailbox and _is_first(key, mailbox):
        return make()
    params = {"url": url, "events": events, "mailbox_id": mailbox.pk if mailbox else ""}
    return two_step(OperatorRequest.Action.CREATE_WEBHOOK, params, data, by=key, do=make)


def _is_first(key: ApiKey, mailbox: Mailbox) -> bool:
    """The first webhook of the first mailbox that this key made."""
    made = key.mailbox_links.filter(mailbox=mailbox, made_first=True).exists()
    return made and not mailbox.webhooks.exists()


class WebhooksView(View):
    scopes = {"GET": (Scope.ADMIN,), "POST": (Scope.ADMIN,)}

    @operation("list_webhooks", answers.WebhookList, parameters=[WholeQuery])
    def get(self, request: Request) -> Response:
        """The webhooks of the key's mailboxes, newest first."""
        return _list(request)

    @operation("create_webhook", answers.WebhookCreated, status=201, also=PENDING, request=WebhookRequest)
    def post(self, request: Request) -> Response:
        """Have events posted to an address, with a person's word."""
        key, data = key_of(request), body(request, WebhookRequest)
        return _create(key, data, mailbox_of(key, data["mailbox_id"]) if "mailbox_id" in data else None)


class MailboxWebhooksView(View):
    scopes = {"GET": (Scope.ADMIN,), "POST": (Scope.ADMIN,)}

    @operation("list_mailbox_webhooks", answers.WebhookList, parameters=[WholeQuery])
    def get(self, request: Request, mailbox_id: str) -> Response:
        return _list(request, mailbox_of(key_of(request), mailbox_id))

    @operation(
        "create_mailbox_webhook", answers.WebhookCreated, status=201, also=PENDING, request=WebhookRequest
    )
    def post(self, request: Request, mailbox_id: str) -> Response:
        """The same for one mailbox. The first of the key's first mailbox needs nobody's word."""
        key = key_of(request)
        return _create(key, body(request, WebhookRequest), mailbox_of(key, mailbox_id))


class WebhookView(View):
    scopes = {"GET": (Scope.ADMIN,), "PATCH": (Scope.ADMIN,), "DELETE": (Scope.ADMIN,)}

    @operation("get_webhook", answers.WebhookObject)
    def get(self, request: Request, webhook_id: str) -> Response:
        return Response(webhook_object(_endpoint(key_of(request), webhook_id)))

    @operation("change_webhook", answers.WebhookObject, request=WebhookChange)
    def patch(self, request: Request, webhook_id: str) -> Response:
        """Choose its events, or turn it off and on."""
        key, data = key_of(request), body(request, WebhookChange)
        endpoint = _endpoint(key, webhook_id)
        actions.change_endpoint(endpoint, **data, by=key)
        return Response(webhook_object(endpoint))

    @operation("delete_webhook", answers.Status, request=None)
    def delete(self, request: Request, webhook_id: str) -> Response:
        key = key_of(request)
        actions.delete_endpoint(_endpoint(key, webhook_id), by=key)
        return Response({"status": "deleted"})


class RotateView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("rotate_webhook_secret", answers.WebhookCreated, request=None)
    def post(self, request: Request, webhook_id: str) -> Response:
        """A new secret; the one before signs too for a day."""
        key = key_of(request)
        endpoint = _endpoint(key, webhook_id)
        secret = actions.rotate_secret(endpoint, by=key)
        return Response({**webhook_object(endpoint), "signing_secret": secret})


class TestView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("test_webhook", answers.DeliveryObject, status=202, request=None)
    def post(self, request: Request, webhook_id: str) -> Response:
        """Post a `webhook.test` event to it."""
        key = key_of(request)
        delivery = actions.test_endpoint(_endpoint(key, webhook_id), by=key)
        return Response(delivery_object(delivery), status=202)


class DeliveriesView(View):
    scopes = {"GET": (Scope.ADMIN,)}

    @operation("list_webhook_deliveries", answers.DeliveryList, parameters=[DeliveryQuery])
    def get(self, request: Request) -> Response:
        """What was posted, newest first, and how it went."""
        key, wanted = key_of(request), query(request, DeliveryQuery)
        found = WebhookDelivery.objects.visible_to(key).select_related("endpoint")
        if "webhook_id" in wanted:
            found = found.filter(endpoint=wanted["webhook_id"])
        if "status" in wanted:
            found = found.filter(status=wanted["status"])
        rows, cursor = page(found, wanted)
        shown = [delivery_object(delivery) for delivery in rows]
        return Response({"deliveries": shown, "items": shown, "cursor": cursor})


class RedeliverView(View):
    scopes = {"POST": (Scope.ADMIN,)}

    @operation("redeliver_webhook", answers.DeliveryObject, status=202, request=None)
    def post(self, request: Request, delivery_id: str) -> Response:
        """The same bytes under the same id, once more."""
        key = key_of(request)
        found = WebhookDelivery.objects.visible_to(key).select_related("endpoint__mailbox")
        actions.redeliver(one(found.filter(pk=delivery_id), "delivery"), by=key)
        return Response(delivery_object(one(found.filter(pk=delivery_id), "delivery")), status=202)


def _endpoint(key: ApiKey, webhook_id: str) -> WebhookEndpoint:
    found = WebhookEndpoint.objects.visible_to(key).select_related("mailbox")
    return one(found.filter(pk=webhook_id), "webhook")
