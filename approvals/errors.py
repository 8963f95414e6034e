"""What can go wrong in the domain, each with a sentence for people and a code for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from approvals.models import OutboundMessage


class DomainError(Exception):
    status = 400
    code = "invalid"

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code or self.code


class Invalid(DomainError):
    """`fields`: one {"field", "code", "message"} for each thing that is wrong."""

    def __init__(self, fields: Iterable[dict[str, str]]) -> None:
        self.fields = list(fields)
        super().__init__(" ".join(error["message"] for error in self.fields))


class TooMany(DomainError):
    """`wait`: seconds after which the same call may pass."""

    status = 429
    code = "rate_limited"

    def __init__(self, sentence: str, code: str = "", *, wait: int) -> None:
        super().__init__(sentence, code)
        self.wait = max(1, wait)


class QuotaReached(TooMany):
    """`wait`: seconds after which it is worth asking again."""

    code = "quota_reached"


class NotPermitted(DomainError):
    status = 403
    code = "forbidden"


class Refused(NotPermitted):
    """The mailbox's mode or a hold forbids it, whoever asks."""

    code = "mode_forbids"


class NotFound(DomainError):
    status = 404
    code = "not_found"


class Conflict(DomainError):
    """Somebody else was first. `message` is as it is now; `details` go to API callers."""

    status = 409
    code = "conflict"

    def __init__(
        self, sentence: str, code: str = "", *, message: OutboundMessage | None = None, **details: Any
    ) -> None:
        super().__init__(sentence, code)
        self.message = message
        self.details = details


class Duplicate(Conflict):
    code = "duplicate_content"


class IdempotencyReused(Conflict):
    code = "idempotency_key_reused"
