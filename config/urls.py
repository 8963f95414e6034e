"""The table of contents."""

from django.urls import URLPattern, URLResolver, include, path

urlpatterns: list[URLPattern | URLResolver] = [
    path("openai/v1/", include("assistants.server.urls")),
    # where clients for Azure, given an endpoint only, look for it
    path("openai/", include("assistants.server.urls")),
    path("", include("approvals.api.urls")),
    path("", include("approvals.urls")),
]

handler400 = "approvals.views.bad_request.bad_request"
