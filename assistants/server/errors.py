"""Errors in the shape that OpenAI's clients read."""

from __future__ import annotations

from django.http import JsonResponse


class ApiError(Exception):
    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        wait: int = 0,
    ) -> None:
        """`wait`: seconds after which the same call may pass."""
        super().__init__(message)
        self.wait = wait
        self.message, self.status, self.param, self.code = message, status, param, code

    def response(self) -> JsonResponse:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {"message": self.message, "type": kind, "param": self.param, "code": self.code}
        response = JsonResponse({"error": error}, status=self.status)
        if self.status == 401:
            response["WWW-Authenticate"] = 'Bearer realm="counterseal"'
        if self.wait:
            response["Retry-After"] = str(self.wait)
        return response


def not_found(kind: str, id: str) -> ApiError:
    return ApiError(f"No {kind} found with id '{id}'.", 404)
