"""What Django refuses before any view sees it: a host that is not ours, or a form without measure."""

from __future__ import annotations

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, JsonResponse

from audit.ids import new_id

HOST = "This install does not answer to the host that the request names; its operator sets ALLOWED_HOSTS."
MALFORMED = "This request is malformed."


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """In the words of whichever interface was called."""
    sentence, code = (HOST, "bad_host") if isinstance(exception, DisallowedHost) else (MALFORMED, "malformed")
    if request.path.startswith("/v1/"):
        told = {"error": sentence, "code": code, "request_id": new_id("req")}
        return JsonResponse(told, status=400)
    if request.path.startswith("/openai/"):
        error = {"message": sentence, "type": "invalid_request_error", "param": None, "code": code}
        return JsonResponse({"error": error}, status=400)
    return HttpResponseBadRequest(sentence, content_type="text/plain")
