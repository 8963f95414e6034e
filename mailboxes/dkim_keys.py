"""DKIM: keys of our own making, and the signature that goes before the dispatch block."""

from __future__ import annotations

import base64
import logging
import secrets as random
from functools import lru_cache

import dkim
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.utils import timezone

from audit import secrets
from audit.prepared import Rows, Slot
from mailboxes.models import DkimKey, Domain

BITS = 2048
# what is there and says something; `from` twice, so that no second one can be added
SIGNED = (
    b"from",
    b"from",
    b"to",
    b"cc",
    b"subject",
    b"date",
    b"message-id",
    b"in-reply-to",
    b"references",
    b"mime-version",
    b"content-type",
    b"content-transfer-encoding",
    b"x-multimail-identity",
)

log = logging.getLogger("counterseal.dkim")

# on the way of each mail that leaves; nearly always there is none
_signing = Rows(
    lambda: (
        DkimKey.objects.filter(domain__name=Slot("name"), retired_at=None)
        .exclude(published_at=None)
        .order_by("-pk")[:1]
    )
)


def new_key(domain: Domain) -> DkimKey:
    """Not saved, and not signing until its record is seen."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    unlocked, pkcs1 = serialization.NoEncryption(), serialization.PrivateFormat.TraditionalOpenSSL
    pem = private.private_bytes(serialization.Encoding.PEM, pkcs1, unlocked)
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public = private.public_key().public_bytes(serialization.Encoding.DER, info)
    return DkimKey(
        domain=domain,
        selector=f"cs{timezone.now():%y%m}{random.token_hex(3)}",
        private_pem_encrypted=secrets.encrypt(pem.decode()),
        public_key=base64.b64encode(public).decode(),
    )


def signature(sender: str, data: bytes) -> bytes:
    """The header for `data`, with its line end; b"" where nothing signs for the sender's domain."""
    name = sender.rpartition("@")[2].lower()
    key = _signing.first(name=name)
    if key is None:
        return b""
    try:
        pem = _pem(key.private_pem_encrypted)
    except InvalidToken:
        log.error("the DKIM key of %s can't be read, because SECRET_KEY has changed; it does not sign", name)
        return b""
    signer = dkim.DKIM(data)
    made: bytes = signer.sign(
        key.selector.encode(),
        name.encode(),
        pem,
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=[one for one in SIGNED if one == b"from" or _has(signer, one)],
    )
    return made


def _has(signer: dkim.DKIM, name: bytes) -> bool:
    return any(field.lower() == name for field, _ in signer.headers)


@lru_cache(maxsize=64)
def _pem(encrypted: str) -> bytes:
    return secrets.decrypt(encrypted).encode()
