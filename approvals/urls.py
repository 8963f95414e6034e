"""The dashboard's addresses."""

from __future__ import annotations

from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, path

from approvals.views import assistants, caught, decisions, events, frames, log, mailboxes, people, queue, runs

urlpatterns: list[URLPattern] = [
    path("", queue.box, name="queue"),
    path("queue/<str:pk>", queue.one, name="queue_case"),
    path("scheduled", queue.box, {"box": "scheduled"}, name="scheduled"),
    path("scheduled/<str:pk>", queue.one, {"box": "scheduled"}, name="scheduled_case"),
    path("attention", queue.box, {"box": "attention"}, name="attention"),
    path("attention/<str:pk>", queue.one, {"box": "attention"}, name="attention_case"),
    path("messages/<str:pk>", log.message, name="message"),
    path("messages/<str:pk>/frame", frames.of_email, name="frame"),
    path("messages/<str:pk>/source", frames.source, name="source"),
    path("messages/<str:pk>/approve", decisions.approve, name="approve"),
    path("messages/<str:pk>/reject", decisions.reject, name="reject"),
    path("messages/<str:pk>/settle/<str:name>", decisions.settle, name="settle"),
    path("log", log.log, name="log"),
    path("runs", runs.runs, name="runs"),
    path("runs/start", runs.start, name="start_run"),
    path("runs/<str:pk>", runs.run, name="run"),
    path("inbound", log.inbound, name="inbound"),
    path("inbound/<str:pk>/approve", log.decide_inbound, {"verdict": "approve"}, name="approve_inbound"),
    path("inbound/<str:pk>/reject", log.decide_inbound, {"verdict": "reject"}, name="reject_inbound"),
    path("caught", caught.caught, name="caught"),
    path("caught/<str:pk>", caught.one, name="caught_one"),
    path("caught/<str:pk>/frame", frames.of_caught, name="caught_frame"),
    path("mailboxes", mailboxes.mailboxes, name="mailboxes"),
    path("mailboxes/hold", mailboxes.hold, name="hold_everything"),
    path("mailboxes/lift-hold", mailboxes.lift_hold, name="lift_every_hold"),
    path("mailboxes/<str:pk>", mailboxes.mailbox, name="mailbox"),
    path("mailboxes/<str:pk>/mode", mailboxes.set_mode, name="set_mode"),
    path("mailboxes/<str:pk>/hold", mailboxes.hold, name="hold"),
    path("mailboxes/<str:pk>/lift-hold", mailboxes.lift_hold, name="lift_hold"),
    path("mailboxes/<str:pk>/allowlist", mailboxes.allow, name="allow"),
    path("mailboxes/<str:pk>/allowlist/<str:entry>/remove", mailboxes.disallow, name="disallow"),
    path("assistants", assistants.assistants, name="assistants"),
    path("assistants/<str:pk>", assistants.assistant, name="assistant"),
    path("assistants/<str:pk>/keys/<str:key>/revoke", assistants.revoke, name="revoke_key"),
    path("requests", assistants.requests, name="requests"),
    path("events", events.events, name="events"),
    path("people", people.people, name="people"),
    path("sign-in", people.SignIn.as_view(), name="sign_in"),
    path("sign-in/link/<str:token>", people.link, name="sign_in_link"),
    path("sign-out", LogoutView.as_view(), name="sign_out"),
]
