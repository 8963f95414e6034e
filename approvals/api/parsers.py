"""JSON bodies: an object, of a bearable size and depth, or a sentence that says what is wrong."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from audit.log import no_constant

# a message of 256 KiB, escaped at its worst, with room for the rest
MAX_BODY_BYTES = 2_621_440


class TooLarge(APIException):
    status_code = 413
    default_code = "too_large"

    def __init__(self, most: int) -> None:
        super().__init__(f"The body is larger than {most} bytes.")


# ten megabytes of files in base64, beside a message
MAX_BYTES_WITH_FILES = 17_000_000


class ObjectParser(BaseParser):
    """DRF's own reads any number of bytes and lets deep nesting end in a RecursionError.

    The CLI's MCP server encodes each body twice: as JSON, and as a JSON string of the bytes, in base64.
    """

    media_type = "application/json"
    max_bytes = MAX_BODY_BYTES

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        data: bytes = stream.read(self.max_bytes + 1)
        if len(data) > self.max_bytes:
            raise TooLarge(self.max_bytes)
        if not data.strip():
            return {}
        try:
            body = json.loads(data, parse_constant=no_constant)
            if isinstance(body, str):
                body = json.loads(base64.b64decode(body, validate=True), parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError("The body is not valid JSON.", code="malformed_json") from error
        if not isinstance(body, dict):
            raise ParseError("The body must be a JSON object.", code="malformed_json")
        return body


class WithFilesParser(ObjectParser):
    """For calls that carry attachments."""

    max_bytes = MAX_BYTES_WITH_FILES
