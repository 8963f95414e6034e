"""`manage.py generate_docs`: what docs/ says about states and the API, from the code itself."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer

from approvals import states
from approvals.mcp import sets
from approvals.mcp.shapes import Tool

HEAD = """# States

Made from `approvals/states.py` by `manage.py generate_docs`; change that file, then run `make fix`.
"""


def states_page() -> str:
    parts = [
        HEAD,
        "## An outbound message\n",
        _diagram(states.INITIAL, states.TRANSITIONS),
        "\n## An inbound email\n",
        _diagram(states.INBOUND_INITIAL, states.INBOUND_TRANSITIONS),
    ]
    return "\n".join(parts) + "\n"


def _diagram(initial: frozenset[Any], transitions: Mapping[Any, frozenset[Any]]) -> str:
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f"    [*] --> {status.value}" for status in sorted(initial)]
    for source, targets in transitions.items():
        lines += [f"    {source.value} --> {target.value}" for target in sorted(targets)]
        lines += [] if targets else [f"    {source.value} --> [*]"]
    return "\n".join([*lines, "```"])


def openapi_page() -> str:
    schema = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiYamlRenderer().render(schema, renderer_context={})  # type: ignore[no-untyped-call]
    return rendered.decode()


TOOLS_HEAD = """# The tools of MCP

Made from `approvals/mcp/` by `manage.py generate_docs`; change the tools there, then run `make fix`. How to
connect, and what holds for all of them, is in [mcp.md](mcp.md). An argument with ★ must be there. `MCP_TOOLS`
chooses the set.
"""


def tools_page() -> str:
    parts = [TOOLS_HEAD, "| tool | set | scope | kind |\n|---|---|---|---|"]
    tools = {tool.name: tool for tool in (*sets.CLASSIC, *sets.NEWEST)}
    parts[-1] += "".join(f"\n{_row(tool)}" for tool in tools.values())
    return "\n".join([*parts, *map(_section, tools.values())]) + "\n"


def _row(tool: Tool) -> str:
    where = [name for name, tools in sets.SETS.items() if tool in tools]
    scopes = {scope for call in tool.calls.values() for scope in sets.scopes_of(call)}
    kind = "reads" if tool.hints.reads else "cannot be undone" if tool.hints.destroys else "changes"
    return (
        f"| [`{tool.name}`](#{tool.name}) | {'both' if len(where) == 2 else where[0]} "
        f"| {', '.join(sorted(scopes)) or 'any'} | {kind} |"
    )


def _section(tool: Tool) -> str:
    calls = ", ".join(f"`{method} {path}`" for method, path in tool.calls.values())
    lines = [f"\n## {tool.name}\n", f"**{tool.title}.** {tool.description}\n", f"Calls {calls}."]
    arguments = [
        f"- `{name}`{'★' if name in tool.required else ''} {schema['description']}"
        for name, schema in tool.arguments.items()
    ]
    return "\n".join([*lines, *(["", *arguments] if arguments else [])])


PAGES = {"states.md": states_page, "openapi.yaml": openapi_page, "mcp-tools.md": tools_page}


class Command(BaseCommand):
    help = "Write the generated pages of docs/, or with --check say which are stale."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing, fail when a page is stale")

    def handle(self, *_args: Any, check: bool, **_options: Any) -> None:
        stale = []
        for name, make in PAGES.items():
            path, text = settings.BASE_DIR / "docs" / name, make()
            if path.exists() and path.read_text() == text:
                continue
            stale.append(f"docs/{name}")
            if not check:
                path.write_text(text)
        if check and stale:
            raise CommandError(f"stale: {', '.join(stale)}; run `make fix`")
