"""Program of one worker of many: `python -m components.train.worker`, by TF_CONFIG or --workers."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from components.errors import WorkerLostError, one_line_errors
from components.options import chosen
from components.train.cluster_config import INDEX, tf_config
from components.train.options import TrainOptions


def main() -> None:
    """Trains as the train step does; the chief writes, the others take part.

    Exit code 0 where training succeeded, 2 where the user can mend the cause, and 75 where another
    worker was lost: started again, all workers resume.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--transformed", type=Path, required=True, help="transformed examples")
    parser.add_argument("--graph", type=Path, required=True, help="the transform graph")
    parser.add_argument("--options", default="{}", help="options of the train step, as JSON")
    parser.add_argument(
        "--checkpoints", type=Path, required=True, help="a folder that all workers share"
    )
    parser.add_argument("--model", type=Path, required=True, help="the chief writes the model here")
    parser.add_argument("--logs", type=Path, required=True, help="and its events here")
    parser.add_argument(
        "--workers",
        help=f"host:port of every worker, with commas, where no TF_CONFIG lists them; {INDEX} says "
        "which of them this one is",
    )
    arguments = parser.parse_args()
    with one_line_errors():
        if arguments.workers:
            hosts = arguments.workers.split(",")
            os.environ["TF_CONFIG"] = tf_config(hosts, os.environ.get(INDEX, ""))
        options = chosen(
            TrainOptions, {"distribution": "multi_worker", **json.loads(arguments.options)}
        )
        from components.train.train import run

        try:
            figures = run(
                arguments.transformed,
                arguments.graph,
                options,
                arguments.checkpoints,
                arguments.model,
                arguments.logs,
            )
        except WorkerLostError as error:
            from components.train.distribution import leave

            leave(error)
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
