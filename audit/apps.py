from typing import Any

from django.apps import AppConfig
from django.apps import apps as current_apps
from django.apps.registry import Apps
from django.db.models.signals import post_migrate


def ensure_head(*, using: str, apps: Apps = current_apps, **_: Any) -> None:
    """The chain has its one head, also after a flush (which sends post_migrate, without `apps`)."""
    try:
        head = apps.get_model("audit", "ChainHead")
    except LookupError:  # migrated back to zero
        return
    head._default_manager.using(using).get_or_create(pk=1)


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        post_migrate.connect(ensure_head, sender=self)
