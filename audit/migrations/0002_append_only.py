from typing import Any

from django.db import migrations

from audit import triggers


def begin(apps: Any, schema_editor: Any) -> None:
    apps.get_model("audit", "ChainHead").objects.using(schema_editor.connection.alias).get_or_create(pk=1)
    triggers.create(schema_editor.connection)


def end(apps: Any, schema_editor: Any) -> None:
    triggers.drop(schema_editor.connection)
    apps.get_model("audit", "ChainHead").objects.using(schema_editor.connection.alias).filter(pk=1).delete()


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]

    operations = [migrations.RunPython(begin, end)]
