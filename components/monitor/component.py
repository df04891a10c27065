"""The monitor step as a Kubeflow component."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from components.image import IMAGE
from components.monitor.options import JUDGED, MonitorOptions
from components.options import describe, described


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@describe(
    **described(MonitorOptions, JUDGED),
    drift="Methods and thresholds of drift: options by name, as in the section drift.",
    log="What the collect step gathered.",
    examples="Examples of the training data.",
    fresh="Examples of fresh data; a folder without any for none.",
)
def monitor(
    log: Input[Artifact],
    examples: Input[Dataset],
    fresh: Input[Dataset],
    rules: list,
    sampled_requests: int,
    price_per_cpu_second: float,
    price_per_1000_tokens: float,
    drift: dict,
    report: Output[Artifact],
    metrics: Output[Metrics],
    page: Output[HTML],
) -> str:
    """Judges the window by the policy: drift, quality, feedback, latency, cost."""
    chosen_values = dict(locals())
    import math
    import shutil
    from pathlib import Path

    from components.artifacts import Examples, MonitoringReport, write_json
    from components.drift.options import DriftOptions
    from components.errors import one_line_errors
    from components.monitor.monitor import run
    from components.monitor.options import MonitorOptions
    from components.options import chosen

    with one_line_errors():
        newer = Path(fresh.path)
        content = run(
            Path(log.path),
            chosen(MonitorOptions, chosen_values),
            chosen(DriftOptions, drift),
            Path(report.path),
            Path(examples.path),
            newer if Examples(newer).manifest_path.is_file() else None,
        )
    for name, figure in content["figures"].items():
        if math.isfinite(figure["value"]):
            metrics.log_metric(name, figure["value"])
    write_json(Path(metrics.path), metrics.metadata)
    shutil.copyfile(MonitoringReport(Path(report.path)).html_path, page.path)
    return str(content["verdict"])
