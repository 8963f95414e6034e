"""Keys of ours."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class SigningKey(models.Model):
    """An ECDSA P-256 key of the identity header; old ones are kept, so that old mail verifies."""

    private_pem_encrypted = models.TextField()
    public_pem = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d}"
