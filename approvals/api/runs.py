"""The function tools, ready to register, and an assistant's runs."""

from __future__ import annotations

from django.db.models import Prefetch, Q
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import effects, wire
from approvals.api import answers
from approvals.api.base import View, body, key_of, mailbox_of, one, query
from approvals.api.paging import page
from approvals.api.requests import AdoptRequest, RunQuery, ToolsQuery
from approvals.api.schema import operation
from approvals.errors import NotPermitted
from approvals.models import OutboundMessage
from assistants import tools
from assistants.models import ApiKey, Assistant, Run, RunQuerySet, Scope, ToolCall


class ToolsView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("list_tools", answers.ToolList, parameters=[ToolsQuery])
    def get(self, request: Request) -> Response:
        """The five function schemas. With `mailbox_id`, only that mailbox can be named in a call."""
        wanted = query(request, ToolsQuery)
        mailbox_id = wanted.get("mailbox_id", "")
        if mailbox_id:
            mailbox_of(key_of(request), mailbox_id)
        schemas = tools.schemas(wanted["format"], mailbox_id)
        return Response({"tools": schemas, "items": schemas})


def _runs(key: ApiKey) -> RunQuerySet:
    return (
        Run.objects.visible_to(key)
        .select_related("assistant")
        .prefetch_related(
            Prefetch("calls", ToolCall.objects.order_by("position", "id")),
            Prefetch("messages", OutboundMessage.objects.select_related("email").order_by("pk")),
        )
    )


class RunsView(View):
    scopes = {"GET": (Scope.READ,), "POST": (Scope.SEND,)}

    @operation("list_runs", answers.RunList, parameters=[RunQuery])
    def get(self, request: Request) -> Response:
        """The runs of the key's own assistant, newest first."""
        wanted = query(request, RunQuery)
        runs = _runs(key_of(request))
        if "state" in wanted:
            runs = runs.filter(status=wanted["state"])
        found, cursor = page(runs, wanted)
        shown = [wire.run_object(run) for run in found]
        return Response({"runs": shown, "items": shown, "cursor": cursor})

    @operation("adopt_run", wire.RunObject, request=AdoptRequest)
    def post(self, request: Request) -> Response:
        """Adopt a run that waits: from now on Counterseal answers it, and its caller's outputs are refused.

        Mail that the key had held for the run's calls is bound to them. Adopting it again changes nothing.
        """
        wanted, key = body(request, AdoptRequest), key_of(request)
        assistant = _assistant_of(key)
        _check_connection(assistant, wanted.get("connection", ""))
        run = effects.adopt(assistant, thread_id=wanted["thread_id"], run_id=wanted["run_id"], by=key)
        return Response(wire.run_object(one(_runs(key).filter(pk=run.pk), "run")))


def _assistant_of(key: ApiKey) -> Assistant:
    if key.assistant is None:
        raise NotPermitted("This key belongs to an integration, which has no runs.")
    return key.assistant


def _check_connection(assistant: Assistant, named: str) -> None:
    own = assistant.connection
    if named and (own is None or named not in (own.pk, own.name)):
        raise NotPermitted(f"{assistant.name} does not run on the connection {named}.")


class RunView(View):
    scopes = {"GET": (Scope.READ,)}

    @operation("get_run", wire.RunObject)
    def get(self, request: Request, run_id: str) -> Response:
        """By our id or by the protocol's."""
        found = _runs(key_of(request)).filter(Q(pk=run_id) | Q(run_id=run_id))
        return Response(wire.run_object(one(found, "run")))
