"""The Assistants API, at /openai/v1."""

from __future__ import annotations

from django.urls import path

from assistants.server.endpoint import Asked, endpoint
from assistants.server.errors import ApiError
from assistants.server.views import assistants, runs, threads

THREAD = "threads/<str:thread_id>"
RUN = f"{THREAD}/runs/<str:run_id>"


def unknown(_asked: Asked, path: str) -> dict[str, object]:
    raise ApiError(f"There is nothing at /openai/v1/{path.removeprefix('v1/')}.", 404, code="unknown_url")


ROUTES = {
    "assistants": assistants.assistants,
    "assistants/<str:assistant_id>": assistants.assistant,
    "threads": threads.threads,
    # before the thread whose id would be `runs`
    "threads/runs": runs.thread_and_run,
    THREAD: threads.thread,
    f"{THREAD}/messages": threads.messages,
    f"{THREAD}/messages/<str:message_id>": threads.message,
    f"{THREAD}/runs": runs.runs,
    RUN: runs.run,
    f"{RUN}/cancel": runs.cancelled,
    f"{RUN}/submit_tool_outputs": runs.submitted,
    f"{RUN}/steps": runs.steps,
    f"{RUN}/steps/<str:step_id>": runs.step,
    "<path:path>": endpoint(GET=unknown, POST=unknown, PUT=unknown, PATCH=unknown, DELETE=unknown),
}
# with a slash at the end or without: clients differ
urlpatterns = [path(f"{route}{slash}", view) for route, view in ROUTES.items() for slash in ("", "/")]
