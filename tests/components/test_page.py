"""The report page: everything escaped, nothing fetched, charts drawn from the values."""

from __future__ import annotations

import html.parser
import re

from components import page
from components.artifacts import Figure

ATTACK = '<script>alert(1)</script>" onload="x\' & <b>'


class Reader(html.parser.HTMLParser):
    """Collects tags, attributes and text, and checks that tags nest."""

    VOID = ("meta", "path", "link", "br", "i")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def every_block(text: str) -> list[page.Block]:
    """One of each block, with the text wherever text can be."""
    bars = [page.Bar(text, 2.0, 1.9, 2.1, note=text, main=True), page.Bar(text, 1.0)]
    lines = [page.Line(text, [(1.0, 3.0), (10.0, 2.0)]), page.Line(text, [(10.0, 1.0)], dots=True)]
    marks = [page.Mark(text, 1.5)]
    return [
        text,
        page.tiles([page.Tile(text, text, text, text)]),
        page.table([text, "n"], [[text, 1.0]], caption=text),
        page.badge("pass", text),
        page.bar_chart(bars, marks=marks, unit=text, title=text, caption=text),
        page.line_chart(lines, marks=marks, x_label=text, y_label=text, title=text, caption=text),
        page.histogram_of(text, [1.0, 2.0], [2.0, 3.0], names=(text, text), caption=text),
        page.quote(text, text),
        page.quote(page.highlight(text, [(3, 9), (5, 12)], given=4)),
        page.details(text, text, page.preformatted(text)),
        page.columns(text, page.code(text)),
        page.subheading(text),
    ]


def test_whatever_comes_from_data_is_escaped() -> None:
    sections = [page.Section(ATTACK, every_block(ATTACK), note=ATTACK)]
    shown = page.render(
        ATTACK, ATTACK, sections, status="warn", facts={ATTACK: ATTACK}, footer=ATTACK
    )
    read = Reader(shown)
    assert read.open == []
    assert not {"script", "b"} & (set(read.tags) - {"b"})
    assert read.tags.count("b") == 1  # The name of the product.
    assert not [name for name, _ in read.attributes if name.startswith("on")]
    assert read.text.count("<script>alert(1)</script>") > 20


def test_the_page_fetches_nothing_and_forbids_scripts() -> None:
    shown = page.render("Title", "lead", [page.Section("Body", every_block("text"))])
    read = Reader(shown)
    assert not {"link", "img", "iframe", "object"} & set(read.tags)
    assert not [value for name, value in read.attributes if name in ("src", "href")]
    assert not re.search(r"url\(|@import|https?://", shown)
    assert "default-src 'none'" in shown
    assert "prefers-color-scheme: dark" in shown
    assert "@media print" in shown


def test_highlight_marks_overlapping_spans_once() -> None:
    shown = page.highlight("abcdef", [(1, 3), (2, 4), (9, 12), (-3, 0)], given=2)
    assert re.sub("<[^>]+>", "", shown) == "abcdef"
    marked = "".join(re.findall(r"<mark>(\w+)</mark>", shown))
    assert marked == "bcd"
    assert shown.count('class="given"') == 2


def test_tables_set_numbers_to_the_right_and_show_missing_ones_as_a_dash() -> None:
    shown = page.table(
        ["name", "value", "count", "ok"], [["a", 1.5, 12345, True], ["b", None, 2, False]]
    )
    assert '<td class="number" data-name="value">1.50</td>' in shown
    assert '<td class="number" data-name="value">–</td>' in shown
    assert '<td class="number" data-name="count">12\u202f345</td>' in shown
    assert '<td data-name="ok">yes</td>' in shown


def test_a_wide_table_names_every_value_for_a_phone() -> None:
    shown = page.table(["name", "low", "high", ""], [["a", 1.0, 2.0, "<b>"]])
    assert '<td class="number" data-name="high">2.00</td>' in shown
    assert '<table class="wide">' in shown
    assert "data-name" not in page.table(["name", "low"], [["a", 1.0]])


def test_a_section_without_a_title_has_no_heading() -> None:
    assert "<h2>" not in page.render("T", "lead", [page.Section("", ["text"])])


def test_figures_show_unit_and_interval() -> None:
    shown = page.tiles([page.figure_tile(Figure(1.934, 1.9, 1.96, unit="bits/byte", label="Bits"))])
    assert "1.93" in shown
    assert "bits/byte" in shown
    assert "1.90 to 1.96" in shown
    assert "\u22120.50" in page.tiles([page.figure_tile(Figure(-0.5))])
