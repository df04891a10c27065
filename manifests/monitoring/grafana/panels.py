"""Panels, variables and the frame that Loomline's Grafana dashboards share."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import (
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    DataSourceRef,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TableAutoCellOptions,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
# An expression and how its series are named.
Query = tuple[str, str]
# A value and the colour from there on.
Steps = Sequence[tuple[float | None, str]]
GOOD_FROM_ONE: Steps = ((None, "red"), (1, "green"))
BAD_FROM_ONE: Steps = ((None, "green"), (1, "red"))


def graph(
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str = "short",
    width: int = 8,
    most: float | None = None,
    stacked: bool = False,
) -> timeseries.Panel:
    """Lines over time, from zero on."""
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    tooltip = VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .min(0)
        .height(8)
        .span(width)
        .fill_opacity(10)
        .legend(legend.placement(LegendPlacement.BOTTOM).show_legend(True))
        .tooltip(tooltip)
    )
    if most is not None:
        panel = panel.max(most)
    if stacked:
        panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for index, (expression, name) in enumerate(queries):
        panel = panel.with_target(_query(index, expression, name))
    return panel


def number(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    width: int = 4,
    steps: Steps = ((None, "text"),),
    words: dict[str, str] | None = None,
    none: str = "–",
) -> stat.Panel:
    """The last value, large, in the colour of its step; `words` stand for some values."""
    reduced = ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")
    panel = (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(4)
        .span(width)
        .no_value(none)
        .thresholds(_thresholds(steps))
        .reduce_options(reduced)
        .orientation(VizOrientation.AUTO)
        .with_target(_query(0, *query, instant=True))
    )
    if words:
        results = {value: models.ValueMappingResult(text=word) for value, word in words.items()}
        panel = panel.mappings([models.ValueMap(options=results)])
    return panel


def rows(
    title: str,
    description: str,
    query: str,
    columns: dict[str, str],
    *,
    unit: str = "short",
    width: int = 12,
    none: str = "–",
) -> table.Panel:
    """A table of the series that there are now; `columns` renames labels."""
    hidden = dict.fromkeys(("Time", "__name__", "instance", "job"), True)
    organize = models.DataTransformerConfig(
        id_val="organize",
        options={"excludeByName": hidden, "renameByName": {**columns, "Value": "value"}},
    )
    target = _query(0, query, "", instant=True).format(PromQueryFormat.TABLE)
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .height(8)
        .span(width)
        .no_value(none)
        .cell_options(TableAutoCellOptions())
        .transformations([organize])
        .with_target(target)
    )


def board(uid: str, title: str, description: str, span: str, models_of: str) -> build.Dashboard:
    """A dashboard without panels.

    Args:
        uid: its name in Grafana's URLs.
        title: its name for people.
        description: what it answers.
        span: the time that it shows, such as `now-6h`.
        models_of: the metric whose label `model` can be chosen from.
    """
    source = build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    chosen = models.VariableOption(selected=True, text=["All"], value=["$__all"])
    model = (
        build.QueryVariable("model")
        .label("model")
        .datasource(SOURCE)
        .query(f"label_values({models_of}, model)")
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(chosen)
    )
    links = build.DashboardLink("Loomline").type(models.DashboardLinkType.DASHBOARDS)
    return (
        build.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["loomline"])
        .time(span, "now")
        .refresh("30s")
        .timezone("browser")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(source)
        .with_variable(model)
        .link(links.tags(["loomline"]).as_dropdown(False).include_vars(True).keep_time(True))
    )


def _query(index: int, expression: str, name: str, instant: bool = False) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).ref_id("ABCDEFGH"[index])
    query = query.legend_format(name).datasource(SOURCE)
    return query.instant() if instant else query.range()


def _thresholds(steps: Steps) -> build.ThresholdsConfig:
    found = [models.Threshold(value=value, color=color) for value, color in steps]
    return build.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)
