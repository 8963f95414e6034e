import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("assistants", "0001_initial"),
        ("assistants_server", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="StreamEvent",
            fields=[
                ("seq", models.BigAutoField(primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=40)),
                ("data", models.TextField()),
                ("created_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name="run",
            name="one_active_run_per_thread",
        ),
        migrations.RemoveIndex(
            model_name="run",
            name="run_due",
        ),
        migrations.AddField(
            model_name="message",
            name="ended_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="message",
            name="status",
            field=models.CharField(
                choices=[
                    ("in_progress", "In Progress"),
                    ("completed", "Completed"),
                    ("incomplete", "Incomplete"),
                ],
                default="completed",
                max_length=12,
            ),
        ),
        migrations.AddField(
            model_name="run",
            name="expires_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="run",
            name="stream_after",
            field=models.BigIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="step",
            name="last_error",
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name="run",
            name="status",
            field=models.CharField(
                choices=[
                    ("queued", "Queued"),
                    ("in_progress", "In Progress"),
                    ("requires_action", "Requires Action"),
                    ("cancelling", "Cancelling"),
                    ("cancelled", "Cancelled"),
                    ("failed", "Failed"),
                    ("completed", "Completed"),
                    ("incomplete", "Incomplete"),
                    ("expired", "Expired"),
                ],
                default="queued",
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="step",
            name="status",
            field=models.CharField(
                choices=[
                    ("in_progress", "In Progress"),
                    ("completed", "Completed"),
                    ("cancelled", "Cancelled"),
                    ("failed", "Failed"),
                    ("expired", "Expired"),
                ],
                max_length=12,
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("status__in", ("queued", "in_progress", "cancelling"))),
                fields=["due_at"],
                name="run_due",
            ),
        ),
        migrations.AddIndex(
            model_name="run",
            index=models.Index(
                condition=models.Q(("ended_at", None), ("expires_at__isnull", False)),
                fields=["expires_at"],
                name="run_expiry",
            ),
        ),
        migrations.AddConstraint(
            model_name="run",
            constraint=models.UniqueConstraint(
                condition=models.Q(
                    ("status__in", ("queued", "in_progress", "requires_action", "cancelling"))
                ),
                fields=("thread",),
                name="one_active_run_per_thread",
            ),
        ),
        migrations.AddField(
            model_name="streamevent",
            name="run",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="events",
                to="assistants_server.run",
            ),
        ),
        migrations.AddIndex(
            model_name="streamevent",
            index=models.Index(fields=["run", "seq"], name="stream_of_run"),
        ),
    ]
