"""Secrets at rest: encrypted under a key derived from SECRET_KEY, or hashed when never read back."""

from __future__ import annotations

import base64
import hashlib

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


def _fernet() -> Fernet:
    kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"counterseal secrets at rest")
    return Fernet(base64.urlsafe_b64encode(kdf.derive(settings.SECRET_KEY.encode())))


def encrypt(text: str) -> str:
    return _fernet().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    return _fernet().decrypt(token.encode()).decode()


def hash_secret(text: str) -> str:
    """For long random secrets only: a plain hash, no stretching."""
    return hashlib.sha256(text.encode()).hexdigest()
