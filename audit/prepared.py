"""Queries whose SQL is built once.

The ORM builds the SQL of a query anew each time, which takes several times as long as running it. Where
a person's decision waits for many of them in a row, a query is written as ever, with a Slot where an
argument goes, and its SQL is kept:

    mailbox_of = Rows(lambda: Mailbox.objects.filter(address=Slot("address")))
    mailbox_of.first(address="support@acme.test")

What a query holds besides its slots is fixed when it is first run. The number of arguments is fixed too,
so `__in` takes a list of slots. On PostgreSQL a slot needs its field where the type can't be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connections, transaction
from django.db.models import Field, Model, QuerySet, Value
from django.db.models.query import get_related_populators
from django.db.models.sql import UpdateQuery

Row = TypeVar("Row", bound=Model)
DATABASE = "default"


class Slot(Value):
    """Where the argument of this name goes. `field` says how it is written to the database."""

    def __init__(self, name: str, field: Field[Any, Any] | None = None) -> None:
        super().__init__(name, output_field=field)
        self.name, self.written_as = name, field

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]

    def filled(self, given: dict[str, Any], connection: Any) -> Any:
        value = given[self.name]
        return self.written_as.get_db_prep_value(value, connection) if self.written_as else value


def _fill(params: Sequence[Any], given: dict[str, Any], connection: Any) -> tuple[Any, ...]:
    return tuple(one.filled(given, connection) if isinstance(one, Slot) else one for one in params)


class Rows(Generic[Row]):
    """A SELECT of whole models. `build` is called once, when models are ready; prefetching is not done."""

    def __init__(self, build: Callable[[], QuerySet[Row]]) -> None:
        self._build = build

    @cached_property
    def _built(self) -> _Built:
        return _Built(self._build().query.get_compiler(DATABASE))

    def all(self, **given: Any) -> list[Row]:
        built, connection = self._built, connections[DATABASE]
        with connection.cursor() as cursor:
            cursor.execute(built.sql, _fill(built.params, given, connection))
            return [built.row(values, connection) for values in cursor.fetchall()]

    def first(self, **given: Any) -> Row | None:
        """Of a query that finds one at most, or is ordered."""
        return next(iter(self.all(**given)), None)

    def get(self, **given: Any) -> Row:
        found = self.first(**given)
        if found is None:
            model: Any = self._build().model
            raise model.DoesNotExist(f"There is no {model._meta.verbose_name} with {given}.")
        return found


class _Built:
    """The SQL of a query, and how Django's own ModelIterable would make objects of what it finds."""

    def __init__(self, compiler: Any) -> None:
        self.sql, self.params = compiler.as_sql()
        select, klass = compiler.select, compiler.klass_info
        self._model, fields = klass["model"], klass["select_fields"]
        self._own = slice(fields[0], fields[-1] + 1)
        self._names = [select[position][0].target.attname for position in fields]
        relate: Any = get_related_populators  # the stubs are those of the next Django
        self._related = relate(klass, select, DATABASE)
        columns = [column for column, *_ in select[: compiler.col_count]]
        self._converters = list(compiler.get_converters(columns).items())

    def row(self, found: Sequence[Any], connection: Any) -> Any:
        values = list(found)
        for position, (converters, column) in self._converters:
            for convert in converters:
                values[position] = convert(values[position], column, connection)
        made = self._model.from_db(DATABASE, self._names, values[self._own])
        for related in self._related:
            related.populate(values, made)
        return made


class Change:
    """An UPDATE of one table. Running it returns the number of rows."""

    def __init__(self, build: Callable[[], QuerySet[Any]], **values: Any) -> None:
        self._build, self._values = build, values

    @cached_property
    def _built(self) -> tuple[str, Sequence[Any]]:
        query: Any = self._build().query.chain(UpdateQuery)
        query.add_update_values(self._values)
        sql, params = query.get_compiler(DATABASE).as_sql()
        return sql, params

    def run(self, **given: Any) -> int:
        sql, params = self._built
        connection = connections[DATABASE]
        with transaction.mark_for_rollback_on_error(DATABASE), connection.cursor() as cursor:
            cursor.execute(sql, _fill(params, given, connection))
            return int(cursor.rowcount)
