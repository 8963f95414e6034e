"""From one declarative document to an install that is as it says.

Names and addresses are the identity of things. What a document names is made or changed, each list as
a whole; what it does not mention is left alone. It is refused whole, with every error by path.
"""

from __future__ import annotations

from typing import Any

from django.db import IntegrityError, transaction

from approvals.provisioning.apply import make
from approvals.provisioning.checks import check
from approvals.provisioning.report import report
from approvals.provisioning.shape import Refused, parse_json, read
from audit import log

__all__ = ["Refused", "parse_json", "provision"]

BY = "system:provision"


def provision(data: Any) -> dict[str, Any]:
    """What stands afterwards, with ids, and with the new keys, which are told this once."""
    try:
        with transaction.atomic():
            return _provision(data)
    except IntegrityError as error:
        raise Refused(
            {"document": "somebody else made one of these things at the same time; run it again"}
        ) from error


def _provision(data: Any) -> dict[str, Any]:
    problems: dict[str, str] = {}
    document = read(data, problems.setdefault)
    check(document, problems.setdefault)
    if problems:
        raise Refused(problems)
    made = make(document)
    told = report(document, made.secrets)
    log.record(*made.entries, by=BY)
    return told
