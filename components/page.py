"""One self-contained HTML page for every report: readable offline, light or dark, on paper.

    html = page.render(
        "Evaluation",
        "1.93 bits per byte: better than xz, worse than the 5-gram.",
        [page.Section("Compression", [page.bar_chart(bars)], note="Lower is better.")],
        status="pass",
    )

Blocks are `Markup`; a plain string is a paragraph. Whatever comes from data is escaped, and
the page forbids scripts and network access by its own content policy besides.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup, escape

from components.charts import (
    Bar,
    Line,
    Mark,
    bar_chart,
    histogram_of,
    histogram_pair,
    interval,
    line_chart,
    number,
)
from components.page_style import STYLE, TEMPLATE

if TYPE_CHECKING:
    import jinja2

    from components.artifacts import Figure

__all__ = [
    "Bar", "Block", "Cell", "Line", "Mark", "Markup", "Section", "Status", "Tile",
    "badge", "bar_chart", "code", "columns", "details", "figure_tile", "highlight",
    "histogram_of", "histogram_pair", "interval", "line_chart", "number", "preformatted", "quote",
    "render", "subheading", "table", "tiles",
]  # fmt: skip

Status = Literal["pass", "warn", "fail", "info", ""]
Block = str | Markup
Cell = str | int | float | Markup | None

_NARROW = 3  # Columns that fit a phone side by side.
_WORDS: dict[Status, str] = {
    "pass": "pass",
    "warn": "warning",
    "fail": "fail",
    "info": "note",
}


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading, one line that says how to read what follows, and the blocks.

    The first section may have an empty title: its blocks follow the verdict without a rule.
    """

    title: str
    blocks: Sequence[Block]
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Tile:
    """One big number of a figure strip."""

    label: str
    value: str
    unit: str = ""
    detail: str = ""
    status: Status = ""


def render(
    title: str,
    lead: Block,
    sections: Iterable[Section],
    *,
    status: Status = "",
    facts: Mapping[str, Cell] | None = None,
    footer: str = "",
) -> str:
    """Renders the page.

    Args:
        title: what the report is about; the largest line.
        lead: the verdict, in a sentence or two; a plain string is escaped.
        sections: the body, in order.
        status: colours the verdict and puts a badge before it.
        facts: small print under the verdict, such as digests and row counts.
        footer: last line, such as how to reproduce the report.
    """
    return _template().render(
        title=title,
        lead=lead,
        badge=badge(status) if status else "",
        status=status,
        facts={name: _shown(value) for name, value in (facts or {}).items()},
        sections=[
            (section.title, section.note, [_block(block) for block in section.blocks])
            for section in sections
        ],
        footer=footer,
        style=Markup(STYLE),
    )


def badge(status: Status, text: str = "") -> Markup:
    """A small outlined word: `pass`, `warning` or `fail` unless another text is given."""
    return Markup('<span class="badge {}">{}</span>').format(status, text or _WORDS.get(status, ""))


def tiles(items: Iterable[Tile]) -> Markup:
    """A strip of big numbers, each with its unit and a line of detail such as its interval."""
    shown = list(items)
    # Full rows look best: three to a row for 3, 6 and 9 tiles, else four, and five in one row.
    width = 16 if len(shown) % 3 == 0 else 10 if len(shown) == 5 else 11
    return Markup('<div class="tiles" style="--least:{}rem">{}</div>').format(
        width,
        Markup("").join(
            Markup(
                '<div class="tile {}"><div class="label">{}</div>'
                '<div class="value">{}{}</div><div class="detail">{}</div></div>'
            ).format(
                item.status,
                item.label,
                item.value,
                Markup(" <small>{}</small>").format(item.unit) if item.unit else "",
                item.detail,
            )
            for item in shown
        ),
    )


def figure_tile(figure: Figure, *, digits: int = 2, status: Status = "") -> Tile:
    """The tile of a measured figure: its label, value, unit and 95% interval."""
    spread = interval(figure.low, figure.high, digits)
    detail = f"95%: {spread}" if spread else ""
    return Tile(figure.label, number(figure.value, digits), figure.unit, detail, status)


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    *,
    digits: int = 2,
    caption: str = "",
) -> Markup:
    """A table; columns whose cells are numbers stand to the right with `digits` decimals.

    Of more than three columns, a phone shows each row as a block of named values.
    """
    body = [list(row) for row in rows]
    wide = len(headers) > _NARROW
    numeric = [
        any(_is_number(row[place]) for row in body)
        and all(row[place] is None or _is_number(row[place]) for row in body)
        for place in range(len(headers))
    ]

    def line(tag: str, cells: Sequence[Cell]) -> Markup:
        return Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup("<{0}{1}{2}>{3}</{0}>").format(
                    Markup(tag),
                    Markup(' class="number"' if right else ""),
                    # On a phone the headers go, and each cell tells its own.
                    Markup(' data-name="{}"').format(name) if wide and tag == "td" else "",
                    _shown(cell, digits),
                )
                for cell, right, name in zip(cells, numeric, headers, strict=True)
            )
        )

    return Markup(
        '<div class="scroll"><table{}>{}<thead>{}</thead><tbody>{}</tbody></table></div>'
    ).format(
        Markup(' class="wide"') if wide else "",
        Markup("<caption>{}</caption>").format(caption) if caption else "",
        line("th", headers),
        Markup("").join(line("td", row) for row in body),
    )


def quote(text: Block, caption: Block = "") -> Markup:
    """A quoted sample with its line breaks; combine with `highlight` to mark parts of it."""
    foot = Markup("<figcaption>{}</figcaption>").format(caption) if caption else ""
    return Markup('<figure class="quote"><blockquote>{}</blockquote>{}</figure>').format(text, foot)


def highlight(text: str, spans: Iterable[tuple[int, int]], given: int = 0) -> Markup:
    """Escapes `text` with character spans [start, end) marked; spans may overlap.

    Args:
        text: any text.
        spans: what to mark.
        given: how many leading characters were given, not generated; they are set in grey.
    """
    marked = [False] * len(text)
    for start, end in spans:
        for place in range(max(start, 0), min(end, len(text))):
            marked[place] = True
    pieces: list[Markup] = []
    start = 0
    for place in range(1, len(text) + 1):
        same = place < len(text) and (marked[place], place < given) == (
            marked[start],
            start < given,
        )
        if not same:
            piece = escape(text[start:place])
            piece = Markup("<mark>{}</mark>").format(piece) if marked[start] else piece
            if start < given:
                piece = Markup('<span class="given">{}</span>').format(piece)
            pieces.append(piece)
            start = place
    return Markup("").join(pieces)


def details(summary: str, *blocks: Block) -> Markup:
    """Blocks behind a line that opens them; open on paper."""
    return Markup("<details><summary>{}</summary>{}</details>").format(
        summary, Markup("").join(_block(block) for block in blocks)
    )


def columns(*blocks: Block) -> Markup:
    """Blocks side by side where there is room; below each other on a phone."""
    return Markup('<div class="columns">{}</div>').format(
        Markup("").join(Markup("<div>{}</div>").format(_block(block)) for block in blocks)
    )


def subheading(text: str) -> Markup:
    """A heading inside a section."""
    return Markup("<h3>{}</h3>").format(text)


def code(text: str) -> Markup:
    """A short literal, such as a digest or an option's name."""
    return Markup("<code>{}</code>").format(text)


def preformatted(text: str) -> Markup:
    """Literal lines, such as a configuration."""
    return Markup("<pre>{}</pre>").format(text)


def _block(block: Block) -> Markup:
    return block if isinstance(block, Markup) else Markup("<p>{}</p>").format(block)


def _is_number(value: Cell) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: Cell, digits: int = 2) -> str | Markup:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return number(value, 0)
    return number(value, digits) if isinstance(value, float) else value


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.from_string(TEMPLATE)
