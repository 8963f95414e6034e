"""The database itself keeps the log append-only, whoever asks it.

An event is inserted as the next link or not at all, and never changed or deleted. A payload may only
be erased: body and salt together, because the salt alone would let short bodies be guessed from the
hash that stays in the chain.
"""

from __future__ import annotations

from django.db.backends.base.base import BaseDatabaseWrapper

APPEND_ONLY = "The audit log is append-only: events are never changed or deleted."
NEXT_LINK = "The audit log is a chain: an event is inserted only as the next link."
ERASABLE = "The audit log is append-only: a payload may only be erased, body and salt together."

# INSERT OR REPLACE deletes rows without firing their DELETE triggers, so BEFORE INSERT looks at every
# unique column
SQLITE = {
    "audit_event_insert": f"""BEFORE INSERT ON audit_event
        WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit_event)
          OR NEW.prev_hash IS NOT coalesce((SELECT hash FROM audit_event WHERE seq = NEW.seq - 1), '')
          OR EXISTS (SELECT 1 FROM audit_event WHERE hash = NEW.hash)
        BEGIN SELECT RAISE(ABORT, '{NEXT_LINK}'); END""",  # noqa: S608 - made of constants
    "audit_event_update": f"""BEFORE UPDATE ON audit_event
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    "audit_event_delete": f"""BEFORE DELETE ON audit_event
        BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END""",
    "audit_payload_insert": f"""BEFORE INSERT ON audit_payload
        WHEN EXISTS (SELECT 1 FROM audit_payload WHERE event_id = NEW.event_id)
        BEGIN SELECT RAISE(ABORT, '{ERASABLE}'); END""",  # noqa: S608 - made of constants
    "audit_payload_update": f"""BEFORE UPDATE ON audit_payload
        WHEN NEW.event_id IS NOT OLD.event_id OR NEW.body IS NOT NULL OR NEW.salt IS NOT ''
        BEGIN SELECT RAISE(ABORT, '{ERASABLE}'); END""",
    "audit_payload_delete": f"""BEFORE DELETE ON audit_payload
        BEGIN SELECT RAISE(ABORT, '{ERASABLE}'); END""",
}

POSTGRESQL_FUNCTIONS = {
    "audit_refuse": """BEGIN
        RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
        END""",
    "audit_next_link": f"""BEGIN
        IF NEW.seq IS DISTINCT FROM (SELECT coalesce(max(seq), 0) + 1 FROM audit_event)
        OR NEW.prev_hash IS DISTINCT FROM
            coalesce((SELECT hash FROM audit_event WHERE seq = NEW.seq - 1), '')
        THEN RAISE EXCEPTION '{NEXT_LINK}' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
        END""",  # noqa: S608 - made of constants
}
POSTGRESQL = {
    "audit_event_insert": """BEFORE INSERT ON audit_event
        FOR EACH ROW EXECUTE FUNCTION audit_next_link()""",
    "audit_event_change": f"""BEFORE UPDATE OR DELETE ON audit_event
        FOR EACH ROW EXECUTE FUNCTION audit_refuse('{APPEND_ONLY}')""",
    "audit_event_truncate": f"""BEFORE TRUNCATE ON audit_event
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('{APPEND_ONLY}')""",
    "audit_payload_update": f"""BEFORE UPDATE ON audit_payload FOR EACH ROW
        WHEN (NEW.event_id <> OLD.event_id OR NEW.body IS NOT NULL OR NEW.salt <> '')
        EXECUTE FUNCTION audit_refuse('{ERASABLE}')""",
    "audit_payload_delete": f"""BEFORE DELETE ON audit_payload
        FOR EACH ROW EXECUTE FUNCTION audit_refuse('{ERASABLE}')""",
    "audit_payload_truncate": f"""BEFORE TRUNCATE ON audit_payload
        FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse('{ERASABLE}')""",
}


def _table(trigger: str) -> str:
    return trigger.rpartition("_")[0]


def create(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name, body in SQLITE.items():
                cursor.execute(f"CREATE TRIGGER {name} {body}")
            return
        for name, body in POSTGRESQL_FUNCTIONS.items():
            cursor.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$")
        for name, body in POSTGRESQL.items():
            cursor.execute(f"CREATE TRIGGER {name} {body}")


def drop(connection: BaseDatabaseWrapper) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            for name in SQLITE:
                cursor.execute(f"DROP TRIGGER {name}")
            return
        for name in POSTGRESQL:
            cursor.execute(f"DROP TRIGGER {name} ON {_table(name)}")
        for name in POSTGRESQL_FUNCTIONS:
            cursor.execute(f"DROP FUNCTION {name}()")
