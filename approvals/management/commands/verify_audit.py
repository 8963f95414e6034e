from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from audit.verify import verify


class Command(BaseCommand):
    help = "Check that the audit log is as it was written; name the first event that isn't."

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = verify()
        if not verdict.ok:
            raise CommandError(f"{verdict.sentence} ({verdict.checked} events before it are good.)")
        self.stdout.write(f"{verdict.checked} events, chain whole")
