"""Makes docs/figures.svg from what `clubledger figures` prints on a terminal.

`FORCE_COLOR=1 clubledger figures | python -m docs.picture`
"""

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).parent / "figures.svg"
COLUMNS = 132
"""Longer lines are folded."""
THEME = TerminalTheme(
    (255, 255, 255),
    (36, 41, 47),
    [
        *((36, 41, 47), (207, 34, 46), (26, 127, 55), (154, 103, 0)),
        *((9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)),
    ],
)
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Noto Sans Mono CJK SC', monospace"
FORMAT = f"""<svg class="rich-terminal" viewBox="0 0 {{width}} {{height}}" \
xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{{aria}}">
<style>
.{{unique_id}}-matrix {{{{ font-family: {FONTS}; font-size: {{char_height}}px;
  line-height: {{line_height}}px; }}}}
{{styles}}
</style>
<defs><clipPath id="{{unique_id}}-clip-terminal">
<rect x="0" y="0" width="{{terminal_width}}" height="{{terminal_height}}" />
</clipPath>{{lines}}</defs>
<rect width="100%" height="100%" rx="8" fill="#ffffff" stroke="#d0d7de" />
<g transform="translate({{terminal_x}}, {{terminal_y}})">{{backgrounds}}
<g class="{{unique_id}}-matrix">{{matrix}}</g></g>
</svg>
"""
"""Rich's own format without its window and without the fonts that it loads from another site."""


def picture(printed: str) -> str:
    """The SVG of a terminal's text; needs nothing from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    for line in printed.rstrip("\n").splitlines():
        console.print(Text.from_ansi(line.rstrip()))
    label = "clubledger figures: reported, derived, difference, verdict, assumed, events"
    form = FORMAT.replace("{aria}", label)
    return console.export_svg(theme=THEME, code_format=form, unique_id="figures")


if __name__ == "__main__":
    PICTURE.write_text(picture(sys.stdin.read()), "utf-8")
