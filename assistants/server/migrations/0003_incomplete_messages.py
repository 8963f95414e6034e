from django.db import migrations


def note_status(apps, _editor):
    """Until now a message was incomplete when it had a reason to be."""
    cut_short = apps.get_model("assistants_server", "Message").objects.exclude(incomplete_reason="")
    cut_short.update(status="incomplete")


class Migration(migrations.Migration):
    dependencies = [("assistants_server", "0002_streams_and_expiry")]

    operations = [migrations.RunPython(note_status, migrations.RunPython.noop)]
