"""The switch has done nothing so far, and was on; from now on it does something, and is off until turned on."""

from typing import Any

from django.db import migrations, models


def turn_off(apps: Any, schema_editor: Any) -> None:
    apps.get_model("mailboxes", "Mailbox").objects.update(ai_disclosure=False)


class Migration(migrations.Migration):
    dependencies = [
        ("mailboxes", "0008_imap_sources"),
    ]

    operations = [
        migrations.AlterField(
            model_name="mailbox",
            name="ai_disclosure",
            field=models.BooleanField(default=False),
        ),
        migrations.RunPython(turn_off, migrations.RunPython.noop),
    ]
