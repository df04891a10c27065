"""What a person sees of a local run: a line per step, live progress, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipelines.steps import StepRecord

if TYPE_CHECKING:
    from PIL.Image import Image

QUIET_SECONDS = 15.0
PLAIN_WIDTH = 110
PICTURE_WIDTH = 28
_BETWEEN = 2


class Face:
    """Shows a run on a terminal; without one, prints plain lines now and then."""

    def __init__(self, console: Console | None = None) -> None:
        # kfp's output is redirected while it runs, so the stream is taken now.
        self.console = console or Console(file=sys.stdout, highlight=False)
        if not self.console.is_terminal:
            self.console.width = PLAIN_WIDTH
        self._live: Live | None = None
        self._said = 0.0
        self._began = time.monotonic()

    def started(self, step: StepRecord) -> None:
        self._began = self._said = time.monotonic()
        if self.console.is_terminal:
            self._live = Live(self._running(step), console=self.console, transient=True)
            self._live.start()

    def progressed(self, step: StepRecord) -> None:
        if self._live is not None:
            self._live.update(self._running(step))
        elif time.monotonic() - self._said >= QUIET_SECONDS:
            self._said = time.monotonic()
            self._line(f"  … {step.name:<10} {escape(step.note)}")

    def finished(self, step: StepRecord) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        mark = "[green]✓[/]" if step.state == "succeeded" else "[red]✗[/]"
        spent = "[dim] cached[/]" if step.cached else f"{step.seconds:6.1f}s"
        note = escape(step.error or step.note)
        self._line(f"  {mark} {step.name:<10} {spent}  [dim]{note}[/]")

    def _line(self, text: str) -> None:
        self.console.print(text, no_wrap=True, overflow="ellipsis")

    def _running(self, step: StepRecord) -> Spinner:
        spent = time.monotonic() - self._began
        text = Text.assemble(f"{step.name:<10} {spent:6.1f}s  ", (step.note, "dim"))
        return Spinner("dots", text)

    def headline(self, text: str) -> None:
        self.console.print(f"\n[bold]{escape(text)}[/]")

    def say(self, text: str) -> None:
        """Plain text; lines are not broken, so that paths and commands can be copied."""
        self.console.print(escape(text), soft_wrap=True)

    def figures(self, rows: Sequence[tuple[str, str]]) -> None:
        """A small table of names and values."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        for name, value in rows:
            table.add_row(name, Text(value, justify="right"))
        self.console.print(table)

    def pages(self, folder: Path, names: Sequence[str]) -> None:
        """Where the reports lie."""
        self.say(f"  reports in {folder}:")
        for name in names:
            self.say(f"    {name}")

    def sample(self, prompt: str, text: str, title: str) -> None:
        """A generated text after its prompt."""
        body = Text.assemble((prompt, "bold"), text)
        self.console.print(Panel(body, title=title, title_align="left", border_style="dim"))

    def table(self, columns: Mapping[str, Sequence[str]]) -> None:
        """Rows of data under their columns' names."""
        table = Table(*columns, box=None, padding=(0, 2, 0, 0))
        for row in zip(*columns.values(), strict=True):
            table.add_row(*row)
        self.console.print(table)

    def pictures(self, images: Sequence[Image], titles: Sequence[str]) -> None:
        """Small pictures, as many side by side as fit, two pixels to a character, with titles.

        They are nothing but colours: where there are none, as in a file, nothing is drawn.
        """
        if self.console.color_system is None:
            return
        fit = max(1, self.console.width // (PICTURE_WIDTH + _BETWEEN))
        for start in range(0, len(images), fit):
            table = Table(*titles[start : start + fit], box=None, padding=(0, _BETWEEN, 0, 0))
            table.add_row(*(_drawn(image) for image in images[start : start + fit]))
            self.console.print(table)


def _drawn(image: Image) -> Text:
    """A picture in half blocks: the upper pixel is the text's colour, the lower its ground's."""
    if image.width > PICTURE_WIDTH:
        image = image.resize((PICTURE_WIDTH, image.height * PICTURE_WIDTH // image.width))
    pixels = image.convert("RGB").load()
    assert pixels is not None
    text = Text(no_wrap=True)
    for row in range(0, image.height - 1, 2):
        for column in range(image.width):
            upper, lower = (_colour(pixels[column, place]) for place in (row, row + 1))
            text.append("▀", style=f"{upper} on {lower}")
        text.append("\n")
    return text


def _colour(pixel: Any) -> str:
    red, green, blue = pixel
    return f"#{red:02x}{green:02x}{blue:02x}"
