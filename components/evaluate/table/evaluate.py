"""The evaluate step for tables: the rows that the exported model gives, beside real rows.

Everything is measured through the SavedModel's own signatures: what is judged is what is
served.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts import (
    EVAL,
    TRAIN,
    Evaluation,
    Examples,
    Figure,
    Model,
)
from components.errors import ConfigError, DataError
from components.evaluate import costs
from components.evaluate.table.options import EvaluateTableOptions
from components.table_schema import Combination, Fixed, TableSchema, combinations

if TYPE_CHECKING:
    import pyarrow as pa

# More take part in nothing: their distances alone would take minutes.
_MOST_TRAINING = 100_000


def run(
    examples: Path,
    model: Path,
    options: EvaluateTableOptions,
    champion: Path | None,
    evaluation: Path,
) -> dict[str, Figure]:
    """Generates rows, compares them with held-out rows, and writes the report.

    Args:
        examples: folder of the examples; `eval` is judged against, `train` gives the floor and
            the baseline.
        model: folder of the trained model.
        options: how much is generated and compared.
        champion: folder of the published version to compare with, or None.
        evaluation: folder to write.

    Returns:
        What was measured, by name.

    Raises:
        ConfigError: the target is no column, or a guard's scorer cannot be made.
        DataError: a split has no rows.
        ModelError: a model is missing, unreadable, or does not generate such rows.
        SetupError: an environment for one of `serving_versions` cannot be made.
    """
    source, judged = Examples(examples), Model(model)
    for split in (TRAIN, EVAL):
        if not source.has(split):
            raise DataError(
                f"expected rows in the {split} split of {examples}. Received: none; more rows, or "
                "another eval_percent, give both splits some"
            )
    schema = TableSchema.from_json(source.manifest().details)
    if options.target and options.target not in schema.names:
        raise ConfigError(
            f"evaluate.target: expected one of {', '.join(schema.names)}. "
            f"Received: {options.target!r}"
        )
    model_digest, eval_digest = judged.digest(), source.digest(EVAL)
    from components.evaluate.table import champion as champions
    from components.evaluate.table import conditions, measure
    from components.evaluate.table.frames import Framer
    from components.evaluate.table.served_table import ServedTable
    from components.guards import checking
    from components.guards.rows import texts_of

    guarded = checking.tallies(options.guards)
    print("progress: load the model", flush=True)
    held_out, training = _read(source, EVAL, schema, options), _read(source, TRAIN, schema, options)
    served = ServedTable(judged.saved_model, schema)
    rows = held_out.num_rows
    made, speed = served.generate(rows, options.seed, options.temperature)
    rival = None
    if champion is not None:
        rival = champions.generate(champion, schema, rows, options)
    framer = Framer(schema, training)
    frames = measure.Frames(
        framer.frame(made), framer.frame(held_out), framer.frame(training), framer.names
    )
    theirs = None
    if rival is not None and rival.made is not None:
        theirs = dataclasses.replace(frames, made=framer.frame(rival.made))
    print("progress: compare columns and pairs", flush=True)
    likeness = measure.likeness(frames, theirs.made if theirs else None, options)
    print("progress: train on generated rows, test on real ones", flush=True)
    taught = measure.usefulness(frames, options)
    figures = {**likeness.figures, **taught.figures, **measure.usefulness_beside(frames, options)}
    figures |= measure.variety(frames, options)
    print("progress: look for the closest training rows", flush=True)
    figures |= measure.privacy(frames, options)
    if guarded:
        checking.check(guarded, texts_of(made))
    figures |= checking.figures(guarded)
    allowed = _allowed(schema, source)
    violations = schema.violations(made, allowed)
    figures["constraint_violations"] = measure.broken(violations, rows)
    scores = served.score(held_out) if served.scores else None
    if scores is not None:
        figures["nll"] = measure.mean_nll(scores, options)
    rival_figures: dict[str, Figure] = {}
    if rival is not None and rival.made is not None and theirs is not None:
        print("progress: judge the champion's rows", flush=True)
        broken = measure.broken(schema.violations(rival.made, allowed), rows)
        rival_figures = {
            **likeness.rival_figures,
            **measure.usefulness(theirs, options).figures,
            **measure.privacy(theirs, options),
            "coverage": measure.variety(theirs, options)["coverage"],
            "constraint_violations": broken,
        }
        if scores is not None and rival.served is not None and rival.served.scores:
            beside = rival.served.score(held_out)
            rival_figures["nll"] = measure.mean_nll(beside, options)
            figures["nll_minus_champion"] = measure.nll_difference(scores, beside, options)
    asked = conditions.ask(served, schema, training, options.seed)
    figures |= conditions.figures(asked)
    print("progress: time single requests", flush=True)
    figures["model_bytes"] = costs.size(judged.saved_model)
    figures["latency_ms"] = costs.latency(served.one, "a row")
    if speed:
        figures["rows_per_second"] = Figure(
            speed, samples=rows, unit="rows/s", better="higher",
            label="Speed here, 1,000 rows at a time",
        )  # fmt: skip
    if options.serving_versions:
        from components.serving_check import check

        checked = check.run(judged.saved_model, options.serving_versions, evaluation)
        figures |= check.figures(checked)
    content = {
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures.items()},
        "model_digest": model_digest,
        "eval_digest": eval_digest,
        "champion": None if rival is None else rival.told(rival_figures),
    }
    from components.evaluate.table.report import Story, page

    card = judged.card() if judged.card_path.is_file() else {}
    problem = rival.problem if rival is not None else ""
    story = Story(
        figures, content, frames, likeness, taught, violations, asked, made, guarded, card, problem,
        options,
    )  # fmt: skip
    written = Evaluation(evaluation)
    evaluation.mkdir(parents=True, exist_ok=True)
    import pyarrow.parquet as pq

    pq.write_table(made, written.samples_path)
    written.write(content, page(story))
    return figures


def _read(
    source: Examples, split: str, schema: TableSchema, options: EvaluateTableOptions
) -> pa.Table:
    """Rows of a split, chosen by digest where there are too many, in the order of their ids."""
    import pyarrow as pa
    import pyarrow.compute as pc

    most = options.samples if split == EVAL else _MOST_TRAINING
    columns = ["example_id", *schema.names]
    batches = [pa.Table.from_batches([batch]) for batch in source.batches(split, columns)]
    table = pa.concat_tables(batches)
    order = pc.sort_indices(table.column("example_id"))[:most]
    return table.take(order).select(schema.names)


def _allowed(schema: TableSchema, source: Examples) -> dict[str, set[Combination]]:
    """The combinations that training rows have, of every `fixed` constraint by its text."""
    return {
        constraint.text: combinations(
            source.batches(TRAIN, list(constraint.columns)), constraint.columns
        )
        for constraint in schema.parsed()
        if isinstance(constraint, Fixed)
    }
