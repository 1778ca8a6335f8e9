"""Makes docs/figures.svg from what `clubledger figures --report vip-2008` prints on a terminal.

`FORCE_COLOR=1 clubledger figures --report vip-2008 | python -m docs.picture`

Every cell is placed by itself, so that the columns stand whatever font a reader has, and nothing is
loaded from elsewhere.
"""

import re
import sys
from html import escape
from pathlib import Path

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

PICTURE = Path(__file__).parent / "figures.svg"
LABEL = "clubledger figures: reported, derived, difference, verdict, assumed, events"
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Noto Sans Mono CJK SC', monospace"
WIDTH, HEIGHT, SIZE, MARGIN = 7.2, 17, 12, 16
"""Of a cell, of a line, of its letters, and around all of it, in pixels."""
INK = "#24292f"
INKS = {1: "#cf222e", 2: "#1a7f37", 3: "#9a6700"}  # by their number on a terminal
RUN = re.compile(r"\S+(?: \S+)*")
"""Cells of a table stand two spaces apart or more."""


def picture(printed: str) -> str:
    """The SVG of a terminal's text."""
    lines = [Text.from_ansi(line.rstrip()) for line in printed.rstrip("\n").splitlines()]
    width = round(max(line.cell_len for line in lines) * WIDTH) + 2 * MARGIN
    height = len(lines) * HEIGHT + 2 * MARGIN
    runs = [run for number, line in enumerate(lines) for run in _runs(line, number)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
            f' role="img" aria-label="{LABEL}">',
            '<rect width="100%" height="100%" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
            f'<g font-family="{FONTS}" font-size="{SIZE}" fill="{INK}">',
            *runs,
            "</g>",
            "</svg>\n",
        ]
    )


def _runs(line: Text, number: int) -> list[str]:
    """The cells of a line."""
    y = MARGIN + number * HEIGHT + SIZE
    found = []
    for run in RUN.finditer(line.plain):
        x = MARGIN + cell_len(line.plain[: run.start()]) * WIDTH
        wide = cell_len(run[0]) * WIDTH
        ink = _ink(line, run.start())
        said = escape(run[0], quote=False)
        found.append(f'<text x="{x:.1f}" y="{y}" textLength="{wide:.1f}"{ink}>{said}</text>')
    return found


def _ink(line: Text, offset: int) -> str:
    """The colour and weight of the letter at this place."""
    styles = [span.style for span in line.spans if span.start <= offset < span.end]
    known = [style for style in styles if isinstance(style, Style)]
    style = Style.combine([Style.null(), *known])
    colour = INKS.get(style.color.number or 0) if style.color else None
    weight = ' font-weight="bold"' if style.bold else ""
    return weight + (f' fill="{colour}"' if colour else "")


if __name__ == "__main__":
    PICTURE.write_text(picture(sys.stdin.read()), "utf-8")
