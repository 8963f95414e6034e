"""Domains that mail leaves from, and the keys that sign for them."""

from __future__ import annotations

from functools import partial

from django.db import models
from django.utils import timezone

from audit.ids import new_id


class Domain(models.Model):
    """`records`: what the DNS said of each record when it was last asked, as domain_records.py judged it."""

    id = models.CharField(max_length=40, primary_key=True, default=partial(new_id, "dom"))
    # lower-case, and in ASCII as the DNS has it
    name = models.CharField(max_length=253, unique=True)
    records = models.JSONField(default=list)
    checked_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.name


class DkimKey(models.Model):
    """Signs from when its record was seen in the DNS, until a newer one does or its record is gone."""

    domain = models.ForeignKey(Domain, models.CASCADE, related_name="keys")
    selector = models.CharField(max_length=63)
    private_pem_encrypted = models.TextField()
    # base64, as the DNS record holds it
    public_key = models.TextField()
    published_at = models.DateTimeField(null=True)
    retired_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["domain", "selector"], name="dkim_selector_once")]

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain_id}"
