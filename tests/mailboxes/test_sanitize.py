"""What HTML is left, and that looking at it twice changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailboxes import colors, sanitize, styles, visible
from mailboxes.sanitize import clean


@pytest.mark.parametrize(
    ("style", "kept"),
    [
        ("color:red", "color:#ff0000"),
        ("COLOR: Red !important ; ", "color:#ff0000"),
        ("color:rgba(0,0,0,.5)", "color:rgba(0,0,0,0.5)"),
        ("background:#fff url(https://t.test/x.png) no-repeat", "background-color:#ffffff"),
        ("background:linear-gradient(90deg, #06f, red)", "background-color:#0066ff"),
        (
            "font-size:14px;font-weight:bold;font-family:Arial, 'Open Sans'",
            "font-size:14px;font-weight:bold;font-family:arial, 'open sans'",
        ),
        (
            "padding:4px 8px;margin:0 auto;text-align:center;border:1px solid #ccc",
            "padding:4px 8px;margin:0 auto;text-align:center;border:1px solid #ccc",
        ),
        (
            "display:none;visibility:hidden;opacity:0;position:absolute;left:-9px;z-index:9;transform:scale(0)",
            "",
        ),
        (
            "margin:-5px;padding:9999px;font-size:900px;line-height:0;letter-spacing:-9px;text-indent:-9px;height:0;width:0",
            "",
        ),
        ("color:var(--x);background:url(x);color:expression(alert(1));font-family:url(x)", ""),
        (r"col\6fr:red;color:\72 ed;background:u\72l(x)", ""),
        ("color:red;/*;display:none", "color:#ff0000"),
        ("background-image:url(x);list-style:url(x);content:'x';cursor:none;float:left", ""),
        ("color:lab(50% 0 0);color:currentcolor;color:inherit", ""),
        ("font-size:calc(0px);font-size:clamp(0px,1px,2px);font-size:-5px", ""),
    ],
)
def test_only_a_closed_list_of_properties_and_values_stays(style: str, kept: str) -> None:
    assert styles.keep(style) == kept


PIECES = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<b>",
        "</b>",
        '<a href="https://x.test/?a=1&amp;b">',
        "</a>",
        "<table>",
        "<tr>",
        "<td bgcolor=#fff>",
        "</table>",
        '<div style="color:white;display:none;font-size:.5em">',
        "</div>",
        "<img src=cid:a alt='\"<'>",
        "<script>",
        "</script>",
        "<!--",
        "-->",
        "&lt;",
        "&amp;amp;",
        "&nbsp;",
        "&#0;",
        "&#x202e;",
        "<mark title=x>",
        "<body style='background:red'>",
        "</body>",
        "<svg>",
        "<style>",
        "</style>",
        "<title>",
        "<br/>",
        "<font color=red size=+3>",
        "<pre>\n\n",
        "<li>",
        "<ul>",
        "<plaintext",
        "<noscript>",
        "<x y='>'>",
    ]
)
HTML = st.lists(PIECES | st.text(max_size=8), max_size=25).map("".join)


@settings(deadline=None, max_examples=300)
@given(HTML)
def test_cleaning_twice_is_cleaning_once(html: str) -> None:
    once = clean(html)
    assert clean(once) == once
    frozen = once.strip() + "\n"
    assert clean(frozen) == frozen


@settings(deadline=None, max_examples=300)
@given(HTML)
def test_the_reader_of_the_result_sees_every_piece_of_it(html: str) -> None:
    """tokens() knows only the sanitiser's own form; a piece it could not read would go unjudged."""
    import html as entities

    for result in (clean(html), sanitize.normalize(html)):
        rebuilt = []
        depth = 0
        for token in sanitize.tokens(result):
            if isinstance(token, sanitize.Text):
                rebuilt.append(entities.escape(token.text, quote=False).replace("\xa0", "&nbsp;"))
            elif isinstance(token, sanitize.Close):
                depth -= 1
                rebuilt.append(f"</{token.tag}>")
            else:
                depth += not token.is_void
                pairs = (f' {name}="{value}"' for name, value in token.attributes.items())
                rebuilt.append(f"<{token.tag}{''.join(pairs)}>")
            assert depth >= 0
        assert depth == 0
        assert entities.unescape("".join(rebuilt)) == entities.unescape(result)


def test_no_element_outside_the_list_survives() -> None:
    assert (
        clean(
            "<script>a</script><style>b</style><title>c</title><template>d</template><x-y>e</x-y><button>f</button>"
        )
        == "e"
    )


def test_the_colours_of_the_body_survive_on_a_div() -> None:
    assert clean('<html><BODY bgcolor=black text=white style="color:#fff">x</BODY></html>') == (
        '<div bgcolor="#000000" style="color:#ffffff">x</div>'
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("white", "#ffffff"),
        ("#FFF", "#ffffff"),
        ("#ffff", "#ffffff"),
        ("#11223380", "#112233"),
        ("112233", "#112233"),
        ("rgb(1,2,3)", "#010203"),
        ("rgb(1 2 3 / 50%)", "#010203"),
        ("RGBA(300,-5,3,.5)", "#ff0003"),
        ("hsl(120,100%,50%)", "#00ff00"),
        ("hsl(.5turn 100% 50%)", "#00ffff"),
        ("hsla(0, 0%, 100%, 1)", "#ffffff"),
    ],
)
def test_colours_are_read_as_browsers_read_them(text: str, value: str) -> None:
    found = colors.parse(text)
    assert found is not None
    assert found.hexadecimal == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#",
        "#12",
        "fff",
        "#ggg",
        "rgb(1,2)",
        "rgb(a,b,c)",
        "rgb(1,2,3",
        "hsl(x,1%,1%)",
        "var(--a)",
        "inherit",
        "rgb(1e999,0,0)",
        "rgb(nan,0,0)",
    ],
)
def test_what_is_no_colour_is_none(text: str) -> None:
    assert colors.parse(text) is None


@settings(deadline=None)
@given(st.text(alphabet="rgbahsl()0123456789.%,/ #efFturndeg-+", max_size=40))
def test_reading_a_colour_never_fails(text: str) -> None:
    found = colors.parse(text)
    assert found is None or all(0 <= one <= 255 for one in found)
    colors.first(text)
    list(styles.declarations(text))
    styles.keep(f"color:{text};font-size:{text};margin:{text};border:{text}")


def test_contrast_is_wcags() -> None:
    assert round(colors.contrast(colors.BLACK, colors.WHITE), 1) == 21
    assert round(colors.contrast(colors.parse("#777") or colors.BLACK, colors.WHITE), 1) == 4.5


def test_text_takes_the_background_that_it_stands_on() -> None:
    html = clean('<div style="background:rgba(0,0,0,.5)"><p style="color:#808080">x</p></div>')
    assert list(visible.hidden(visible.runs(html))) == ["grey on grey"]
