"""Inline drawings on a 12 px grid. Inline, because the page's CSP loads no picture from elsewhere."""

from __future__ import annotations

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_FILLED = 'fill="currentColor"'
_ON_FILL = 'stroke="var(--panel)"'

PATHS = {
    "check": '<path d="M2 6.3 5 9l5-6"/>',
    "check-filled": f'<circle cx="6" cy="6" r="5" {_FILLED}/><path d="M3.7 6.2l1.6 1.6 3-3.4" {_ON_FILL}/>',
    "cross": '<path d="M2 2l8 8M10 2l-8 8"/>',
    "cross-filled": f'<rect x="1" y="1" width="10" height="10" rx="2.5" {_FILLED}/>'
    f'<path d="M4.3 4.3l3.4 3.4M7.7 4.3 4.3 7.7" {_ON_FILL}/>',
    "warning": f'<path d="M6 1 11.3 10.8H.7z" {_FILLED}/><path d="M6 4.7v2.6M6 9v.1" {_ON_FILL}/>',
    "diamond": f'<path d="M6 .6 11.4 6 6 11.4.6 6z" {_FILLED} stroke="none"/>',
    "clock": '<circle cx="6" cy="6" r="5"/><path d="M6 3.2V6l2 1.4"/>',
    "ban": '<circle cx="6" cy="6" r="5"/><path d="M2.5 9.5l7-7"/>',
    "pause": '<path d="M3.8 2v8M8.2 2v8"/>',
    "play": f'<path d="M3.5 2l6 4-6 4z" {_FILLED}/>',
    "out": '<path d="M2.5 9.5l7-7M4 2.5h5.5V8"/>',
    "in": '<path d="M9.5 2.5l-7 7M8 9.5H2.5V4"/>',
    "tray": '<path d="M6 1v6M3.4 4.6 6 7.2l2.6-2.6M1.5 10.5h9"/>',
    "reply": '<path d="M4.5 2.5 1.5 5.5l3 3M1.5 5.5H8a2.5 2.5 0 0 1 2.5 2.5v2"/>',
    "code": '<path d="M4 3 1.5 6 4 9M8 3l2.5 3L8 9"/>',
    "flag": '<path d="M3 11V1.5h6L7.5 4 9 6.5H3"/>',
    "arrow": '<path d="M1.5 6h9M7 2.5 10.5 6 7 9.5"/>',
    "search": '<circle cx="5" cy="5" r="3.6"/><path d="M7.8 7.8 11 11"/>',
    "left": '<path d="M8 1.5 3.5 6 8 10.5"/>',
    "right": '<path d="M4.5 2.5 8 6 4.5 9.5"/>',
    "down": '<path d="M1.5 4 6 8.5 10.5 4"/>',
    "menu": '<path d="M1.5 3h9M1.5 6h9M1.5 9h9"/>',
    "info": '<circle cx="6" cy="6" r="5"/><path d="M6 5.5V9M6 3.2v.1"/>',
    "eye": '<path d="M1 6s1.8-3.5 5-3.5S11 6 11 6 9.2 9.5 6 9.5 1 6 1 6z"/><circle cx="6" cy="6" r="1.3"/>',
    "key": '<circle cx="3.5" cy="8.5" r="2"/><path d="M5 7l5.5-5.5M8.5 3.5 10 5"/>',
    "gear": '<circle cx="6" cy="6" r="2"/><path d="M6 1v2M6 9v2M1 6h2M9 6h2"/>',
    "dash": '<path d="M3.5 6h5"/>',
}


@register.simple_tag
def icon(name: str, label: str = "") -> SafeString:
    """Decoration, unless it has a label."""
    about = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="i" viewBox="0 0 12 12" {}>{}</svg>',
        about,
        mark_safe(PATHS[name]),  # noqa: S308
    )
