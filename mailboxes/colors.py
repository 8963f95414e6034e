"""CSS colours: reading, blending, contrast, naming. Pure."""

from __future__ import annotations

import colorsys
import re
from functools import lru_cache
from typing import NamedTuple

_TABLE = (
    "aliceblue f0f8ff antiquewhite faebd7 aqua 00ffff aquamarine 7fffd4 azure f0ffff beige f5f5dc bisque "
    "ffe4c4 black 000000 blanchedalmond ffebcd blue 0000ff blueviolet 8a2be2 brown a52a2a burlywood "
    "deb887 cadetblue 5f9ea0 chartreuse 7fff00 chocolate d2691e coral ff7f50 cornflowerblue 6495ed "
    "cornsilk fff8dc crimson dc143c cyan 00ffff darkblue 00008b darkcyan 008b8b darkgoldenrod b8860b "
    "darkgray a9a9a9 darkgreen 006400 darkgrey a9a9a9 darkkhaki bdb76b darkmagenta 8b008b darkolivegreen "
    "556b2f darkorange ff8c00 darkorchid 9932cc darkred 8b0000 darksalmon e9967a darkseagreen 8fbc8f "
    "darkslateblue 483d8b darkslategray 2f4f4f darkslategrey 2f4f4f darkturquoise 00ced1 darkviolet "
    "9400d3 deeppink ff1493 deepskyblue 00bfff dimgray 696969 dimgrey 696969 dodgerblue 1e90ff firebrick "
    "b22222 floralwhite fffaf0 forestgreen 228b22 fuchsia ff00ff gainsboro dcdcdc ghostwhite f8f8ff gold "
    "ffd700 goldenrod daa520 gray 808080 green 008000 greenyellow adff2f grey 808080 honeydew f0fff0 "
    "hotpink ff69b4 indianred cd5c5c indigo 4b0082 ivory fffff0 khaki f0e68c lavender e6e6fa "
    "lavenderblush fff0f5 lawngreen 7cfc00 lemonchiffon fffacd lightblue add8e6 lightcoral f08080 "
    "lightcyan e0ffff lightgoldenrodyellow fafad2 lightgray d3d3d3 lightgreen 90ee90 lightgrey d3d3d3 "
    "lightpink ffb6c1 lightsalmon ffa07a lightseagreen 20b2aa lightskyblue 87cefa lightslategray 778899 "
    "lightslategrey 778899 lightsteelblue b0c4de lightyellow ffffe0 lime 00ff00 limegreen 32cd32 linen "
    "faf0e6 magenta ff00ff maroon 800000 mediumaquamarine 66cdaa mediumblue 0000cd mediumorchid ba55d3 "
    "mediumpurple 9370db mediumseagreen 3cb371 mediumslateblue 7b68ee mediumspringgreen 00fa9a "
    "mediumturquoise 48d1cc mediumvioletred c71585 midnightblue 191970 mintcream f5fffa mistyrose ffe4e1 "
    "moccasin ffe4b5 navajowhite ffdead navy 000080 oldlace fdf5e6 olive 808000 olivedrab 6b8e23 orange "
    "ffa500 orangered ff4500 orchid da70d6 palegoldenrod eee8aa palegreen 98fb98 paleturquoise afeeee "
    "palevioletred db7093 papayawhip ffefd5 peachpuff ffdab9 peru cd853f pink ffc0cb plum dda0dd "
    "powderblue b0e0e6 purple 800080 rebeccapurple 663399 red ff0000 rosybrown bc8f8f royalblue 4169e1 "
    "saddlebrown 8b4513 salmon fa8072 sandybrown f4a460 seagreen 2e8b57 seashell fff5ee sienna a0522d "
    "silver c0c0c0 skyblue 87ceeb slateblue 6a5acd slategray 708090 slategrey 708090 snow fffafa "
    "springgreen 00ff7f steelblue 4682b4 tan d2b48c teal 008080 thistle d8bfd8 tomato ff6347 turquoise "
    "40e0d0 violet ee82ee wheat f5deb3 white ffffff whitesmoke f5f5f5 yellow ffff00 yellowgreen 9acd32 "
)
_NAMES = _TABLE.split()
NAMES = dict(zip(_NAMES[::2], _NAMES[1::2], strict=True))
_BY_HEX = {value: name for name, value in NAMES.items()}
_FUNCTION = re.compile(r"(rgb|hsl)a?\(([^()]*)\)")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,2})?")


class Color(NamedTuple):
    red: float
    green: float
    blue: float
    alpha: float = 1.0

    def over(self, below: Color) -> Color:
        """What the eye sees of this colour on an opaque one."""
        mixed = (a * self.alpha + b * (1 - self.alpha) for a, b in zip(self[:3], below[:3], strict=True))
        return Color(*mixed)

    @property
    def hexadecimal(self) -> str:
        """Without alpha."""
        return "#" + "".join(f"{round(one):02x}" for one in self[:3])

    def __str__(self) -> str:
        return _BY_HEX.get(self.hexadecimal[1:], self.hexadecimal)


WHITE = Color(255, 255, 255)
BLACK = Color(0, 0, 0)
LINK = Color(0, 0, 238)


@lru_cache(maxsize=1024)
def contrast(one: Color, other: Color) -> float:
    """From 1 (the same) to 21, as WCAG 2 counts."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def parse(text: str) -> Color | None:
    """None for what isn't a colour known here: the sanitiser keeps no other."""
    text = text.strip().lower()
    if text == "transparent":
        return Color(0, 0, 0, 0)
    if match := _FUNCTION.fullmatch(text):
        return _function(match[1], match[2])
    value = NAMES.get(text) or text.removeprefix("#")
    if not re.fullmatch(r"[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8}", value):
        return None
    if text not in NAMES and not text.startswith("#") and len(value) != 6:
        return None
    if len(value) < 6:
        value = "".join(digit * 2 for digit in value)
    red, green, blue, alpha = bytes.fromhex(value.ljust(8, "f"))
    return Color(red, green, blue, alpha / 255)


def first(text: str) -> Color | None:
    """The first colour in a longer value, such as a gradient or a `background` shorthand."""
    text = re.sub(r"url\([^)]*\)", " ", text.lower())
    for match in re.finditer(r"(?:rgb|hsl)a?\([^()]{0,80}\)|#?[a-z0-9]{1,24}", text):
        word = match[0]
        is_color = "(" in word or word[0] == "#" or word in NAMES or word == "transparent"
        if is_color and (color := parse(word)):
            return color
    return None


def _function(kind: str, arguments: str) -> Color | None:
    parts = re.split(r"[\s,/]+", arguments.strip())
    if len(parts) not in (3, 4):
        return None
    alpha = _amount(parts[3], 1) if len(parts) == 4 else 1.0
    values = [_amount(part, 255) for part in parts[:3]] if kind == "rgb" else _hsl(parts[:3])
    if alpha is None or any(value is None for value in values):
        return None
    red, green, blue = (min(255.0, max(0.0, value or 0.0)) for value in values)
    return Color(red, green, blue, min(1.0, max(0.0, alpha)))


def _hsl(parts: list[str]) -> list[float | None]:
    units = {"deg": 360.0, "grad": 400.0, "rad": 6.283185, "turn": 1.0, "": 360.0}
    match = re.fullmatch(rf"({_NUMBER.pattern})(deg|grad|rad|turn)?", parts[0])
    saturation, lightness = (_amount(part.rstrip("%") + "%", 1) for part in parts[1:])
    if not match or saturation is None or lightness is None:
        return [None]
    hue = float(match[1]) / units[match[2] or ""] % 1.0
    clipped = (min(1.0, max(0.0, one)) for one in (lightness, saturation))
    return [255 * one for one in colorsys.hls_to_rgb(hue, *clipped)]


def _amount(text: str, whole: float) -> float | None:
    """A number, or a percentage of `whole`."""
    number = text.removesuffix("%")
    if not _NUMBER.fullmatch(number):
        return None
    return float(number) * whole / 100 if text.endswith("%") else float(number)


def _luminance(color: Color) -> float:
    def linear_of(value: float) -> float:
        return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4

    linear = [linear_of(value / 255) for value in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
