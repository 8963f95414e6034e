from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("assistants", "0002_waiting_runs"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("alert", ""), _negated=True), fields=["id"], name="run_alert"
            ),
        ),
    ]
