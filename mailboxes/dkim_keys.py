"""DKIM: keys of our own making, and the signature that goes before the dispatch block."""

from __future__ import annotations

import base64
import hashlib
import logging
import secrets as random
from functools import lru_cache

import dkim
from cryptography.fernet import InvalidToken
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from django.utils import timezone
from dkim.canonicalization import Relaxed

from audit import secrets
from audit.prepared import Rows, Slot
from mailboxes.models import DkimKey, Domain

BITS = 2048
# as far as they are there; `from` is named once more, so that no second one can be added
SIGNED = (
    "from",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "x-multimail-identity",
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
        private = _private(key.private_pem_encrypted)
    except InvalidToken:
        log.error("the DKIM key of %s can't be read, because SECRET_KEY has changed; it does not sign", name)
        return b""
    return sign(data, name, key.selector, private)


def sign(data: bytes, domain: str, selector: str, private: rsa.RSAPrivateKey) -> bytes:
    """RFC 6376, relaxed. dkimpy knows the form of it all; its arithmetic takes thirty times as long."""
    fields, body = dkim.rfc822_parse(data)
    # each name stands once in what we build
    known = {name.decode(): value for name, value in Relaxed.canonicalize_headers(fields)}
    names = [one for one in SIGNED if one in known]
    body_hash = hashlib.sha256(Relaxed.canonicalize_body(body)).digest()
    tags = (
        f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector};",
        f"t={int(timezone.now().timestamp())}; h={':'.join(['from', *names])};",
        f"bh={base64.b64encode(body_hash).decode()};",
        "b=",
    )
    signed = b"".join(one.encode() + b":" + known[one] for one in names)
    signed += f"dkim-signature:{' '.join(tags)}".encode()
    made = base64.b64encode(private.sign(signed, PKCS1v15(), SHA256())).decode()
    lines = [*tags[:-1], "b=" + made[:70], *(made[at : at + 72] for at in range(70, len(made), 72))]
    return ("DKIM-Signature: " + "\r\n ".join(lines) + "\r\n").encode()


@lru_cache(maxsize=64)
def _private(encrypted: str) -> rsa.RSAPrivateKey:
    pem = secrets.decrypt(encrypted).encode()
    # of our own making, and the mail that is first signed with it waits for the check
    key = serialization.load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("The DKIM key is not an RSA key.")
    return key
