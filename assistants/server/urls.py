"""The Assistants API, at /openai/v1."""

from __future__ import annotations

from django.urls import path

from assistants.server import views

THREAD = "threads/<str:thread_id>"
RUN = f"{THREAD}/runs/<str:run_id>"

urlpatterns = [
    path("assistants", views.assistants),
    path("assistants/<str:assistant_id>", views.assistant),
    path("threads", views.threads),
    # before the thread whose id would be `runs`
    path("threads/runs", views.thread_and_run),
    path(THREAD, views.thread),
    path(f"{THREAD}/messages", views.messages),
    path(f"{THREAD}/messages/<str:message_id>", views.message),
    path(f"{THREAD}/runs", views.runs),
    path(RUN, views.run),
    path(f"{RUN}/cancel", views.cancelled),
    path(f"{RUN}/submit_tool_outputs", views.submitted),
    path(f"{RUN}/steps", views.steps),
    path(f"{RUN}/steps/<str:step_id>", views.step),
    path("<path:path>", views.nowhere),
]
