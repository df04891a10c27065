"""`loomline runs compare`: where runs differ, as a table and as a page with plots."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from serving.commands import HELP, UserError, print_table
from serving.store.commands import STORE, opened
from serving.store.comparing import Row, compared, shown
from serving.store.registry_commands import place

if TYPE_CHECKING:
    from components.page import Markup
    from serving.store.lineage import Origin


@click.command(context_settings=HELP)
@click.argument("names", nargs=-1, required=True, metavar="RUN RUN...")
@STORE
@click.option("--all", "everything", is_flag=True, help="Also what is the same in all of them.")
@click.option(
    "--html",
    "page_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with the table and a plot of every figure; it opens offline.",
)
def compare(names: tuple[str, ...], url: str, everything: bool, page_path: Path | None) -> None:
    """Show where runs differ: data, code, options, figures.

    RUN is a run's name, MODEL/RUN, or MODEL/VERSION.
    """
    from serving.store.lineage import find, origins

    if len(names) < 2:
        raise UserError(f"expected two runs or more to compare. Received: {' '.join(names)}")
    with opened(url, existing=True) as store:
        found = origins(store, [find(store, name) for name in names])
    rows = list(compared([one.run for one in found]))
    chosen = [row for row in rows if everything or row.differs]
    titles = [f"{one.run.model}/{one.run.run}" for one in found]
    print_table(("", *titles), [[row.name, *map(shown, row.values)] for row in chosen])
    if not chosen:
        click.echo("they are the same in everything")
    if page_path is None:
        return
    html = render(found, rows, datetime.now(UTC))
    try:
        page_path.parent.mkdir(parents=True, exist_ok=True)
        page_path.write_text(html, "utf-8")
    except OSError as error:
        raise UserError(f"expected to write {page_path}. Received: {error.strerror}") from None
    click.echo(f"wrote {page_path}")


def render(origins: Sequence[Origin], rows: Sequence[Row], now: datetime) -> str:
    """The page: what differs, and every figure over the runs, oldest first.

    Args:
        origins: the runs and what came of them.
        rows: what `compared` found, of the same runs in the same order.
        now: the time, in UTC.
    """
    from components import page

    order = sorted(range(len(origins)), key=lambda place: origins[place].run.finished)
    chosen = [origins[place] for place in order]
    rows = [Row(row.kind, row.name, [row.values[place] for place in order]) for row in rows]
    names = [f"{number}. {one.run.model}/{one.run.run}" for number, one in enumerate(chosen, 1)]
    # In its time each version was the champion; what counts is what the newest was held against.
    champion = (chosen[-1].run.model, chosen[-1].run.champion_version)
    facts: list[list[page.Cell]] = [
        [
            name,
            one.run.outcome,
            ", ".join(f"version {each.version}" for each in one.versions) or "–",
            ", ".join(place(each, now) for each in one.deployments) or "–",
            "champion" if champion in _versions(one) else "–",
            f"{one.run.finished:%Y-%m-%d %H:%M}",
            one.run.reason,
        ]
        for name, one in zip(names, chosen, strict=True)
    ]
    heads = ["run", "outcome", "published", "serves at", "held against",
             "finished (UTC)", "reason"]  # fmt: skip
    figures = [row for row in rows if row.kind == "figure"]
    plots = [_plot(row, chosen, champion, now) for row in figures if row.differs]
    drawn = [plot for plot in plots if plot]
    differing = [row for row in rows if row.differs]
    lead = (
        f"{len(differing)} of {len(rows)} properties differ."
        if differing
        else "The runs are the same in everything."
    )
    return page.render(
        f"{len(chosen)} runs compared",
        lead,
        [
            page.Section("The runs", [page.table(heads, facts)]),
            page.Section(
                "Figures over the runs",
                [page.columns(*drawn) if drawn else "None differs."],
                note="Oldest first, numbered as above; a dashed rule is a version that is served, "
                "or the champion that the newest run was held against. Figures that are the same "
                "in all runs are left out.",
            ),
            page.Section("Where they differ", [_table(differing, len(chosen))]),
        ],
        footer="Made by loomline runs compare; loomline lineage RUN tells what made a version.",
    )


def _versions(one: Origin) -> set[tuple[str, int | None]]:
    return {(each.model, each.version) for each in one.versions}


def _plot(
    row: Row, origins: Sequence[Origin], champion: tuple[str, int | None], now: datetime
) -> Markup | None:
    from components import page

    points = [
        (float(number), value) for number, value in enumerate(row.values, 1) if value is not None
    ]
    if not points:
        return None
    marks = []
    for one, value in zip(origins, row.values, strict=True):
        fresh = [each for each in one.deployments if each.fresh(now)]
        words = sorted({label for each in fresh for label in each.labels or ["served"]})
        words += ["champion"] if champion in _versions(one) else []
        if value is not None and words:
            number = ", ".join(f"version {each.version}" for each in one.versions)
            marks.append(page.Mark(f"{number}: {', '.join(words)}", value))
    line = page.Line("each run", points, dots=True)
    return page.line_chart([line], x_label="run", marks=marks, title=row.name)


def _table(rows: Sequence[Row], count: int) -> Markup | str:
    from components import page

    if not rows:
        return "Nowhere."
    heads = ["", *(f"run {number}" for number in range(1, count + 1))]
    return page.table(heads, [[row.name, *map(shown, row.values)] for row in rows])
