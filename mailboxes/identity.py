"""The signed header that says what sent a mail, and the block that is put before the frozen bytes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from email.policy import compat32
from email.utils import format_datetime, getaddresses
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from audit import secrets
from audit.prepared import Rows
from mailboxes.models import SigningKey

HEADER = "X-MultiMail-Identity"
SERVICE = "counterseal"
_ALGORITHM = ec.ECDSA(SHA256())
_FOLD = 900


class InvalidIdentity(Exception):
    """The header is not one that this install signed."""


def dispatch_block(
    *,
    frozen: bytes,
    sender: str,
    recipients: Sequence[str],
    message_id: str,
    approved: bool,
    oversight: str,
    operator: str,
    now: datetime,
) -> bytes:
    """Header lines that go before `frozen`, made once per revision."""
    claims = {
        "ai_generated": True,
        "approved": approved,
        "body_hash": hashlib.sha256(frozen).hexdigest(),
        "capabilities": ["send"],
        "iat": int(now.timestamp()),
        "message_id": message_id,
        "operator": operator,
        "oversight": oversight,
        "recipients_hash": recipients_hash(visible_recipients(frozen, recipients)),
        "reputation_hash": "",
        "sender": sender,
        "service": SERVICE,
        "verified_operator": False,
    }
    lines = ["X-AI-Generated: true", *_fold(f"{HEADER}: {sign(claims)}")]
    return date_line(now) + "".join(f"{line}\r\n" for line in lines).encode("ascii")


def date_line(now: datetime) -> bytes:
    return f"Date: {format_datetime(now)}\r\n".encode("ascii")


def visible_recipients(frozen: bytes, recipients: Sequence[str]) -> list[str]:
    """Those in To and Cc. A hash over Bcc too would let any recipient test a guess at who else got it."""
    message = BytesHeaderParser(policy=compat32).parsebytes(frozen)
    named = getaddresses([str(message.get(name, "")) for name in ("To", "Cc")])
    return sorted({address for _, address in named} & set(recipients))


def recipients_hash(addresses: Sequence[str]) -> str:
    """SHA-256 over the sorted To and Cc addresses, one per line."""
    return hashlib.sha256("\n".join(sorted(addresses)).encode()).hexdigest()


def sign(claims: Mapping[str, Any]) -> str:
    payload = _encode(json.dumps(claims, sort_keys=True, separators=(",", ":")).encode())
    r, s = decode_dss_signature(_private_key().sign(payload.encode(), _ALGORITHM))
    return f"{payload}.{_encode(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def verify(header: str) -> dict[str, Any]:
    """The claims, if one of our keys signed them. A folded header is accepted as it came."""
    return opened(header)[0]


def opened(header: str) -> tuple[dict[str, Any], SigningKey]:
    """The claims, and the key that signed them."""
    payload, dot, signature = "".join(header.split()).partition(".")
    try:
        raw = _decode(signature)
        if not dot or len(raw) != 64:
            raise ValueError
        claims = json.loads(_decode(payload))
    except (ValueError, RecursionError):
        raise InvalidIdentity("The identity header is not in the form payload.signature.") from None
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    for key in SigningKey.objects.order_by("-pk"):
        if _is_signed_by(key.public_pem, der, payload.encode()) and isinstance(claims, dict):
            return claims, key
    raise InvalidIdentity("The identity header was not signed by a key of this install.")


def public_key_pem() -> str:
    return _current().public_pem


def all_keys() -> list[SigningKey]:
    """The one that signs first, then the old ones, which mail that has left still needs."""
    _current()
    return list(SigningKey.objects.order_by("-pk"))


def make_next_key() -> SigningKey:
    """Two who ask at once get one key."""
    return _create(_current().pk + 1)


def published(key: SigningKey) -> dict[str, str]:
    """As a JSON Web Key, and as PEM for who has no use for one."""
    public = _public(key.public_pem)
    numbers = public.public_numbers()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {
        "kid": hashlib.sha256(der).hexdigest()[:16],
        "kty": "EC",
        "crv": "P-256",
        "alg": "ES256",
        "use": "sig",
        "x": _encode(numbers.x.to_bytes(32, "big")),
        "y": _encode(numbers.y.to_bytes(32, "big")),
        "public_key": key.public_pem,
        "created_at": key.created_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


_newest = Rows(lambda: SigningKey.objects.order_by("-pk")[:1])


def _current() -> SigningKey:
    return _newest.first() or _create(1)


def _create(pk: int) -> SigningKey:
    """A fixed primary key decides between two processes that start together: both go on with one key."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    values = {"private_pem_encrypted": secrets.encrypt(pem.decode()), "public_pem": public.decode()}
    key, _ = SigningKey.objects.get_or_create(pk=pk, defaults=values)
    return key


def _private_key() -> ec.EllipticCurvePrivateKey:
    return _read(_current().private_pem_encrypted)


@lru_cache(maxsize=1)
def _read(encrypted: str) -> ec.EllipticCurvePrivateKey:
    pem = secrets.decrypt(encrypted).encode()
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("The signing key is not an elliptic curve key.")
    return key


def _public(pem: str) -> ec.EllipticCurvePublicKey:
    key = serialization.load_pem_public_key(pem.encode())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise TypeError("The signing key is not an elliptic curve key.")
    return key


def _is_signed_by(public_pem: str, signature: bytes, payload: bytes) -> bool:
    try:
        _public(public_pem).verify(signature, payload, _ALGORITHM)
    except InvalidSignature:
        return False
    return True


def _fold(line: str) -> list[str]:
    """One line where it fits, because some readers don't unfold."""
    chunks = [line[start : start + _FOLD] for start in range(0, len(line), _FOLD)]
    return [chunks[0], *(f" {chunk}" for chunk in chunks[1:])]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
