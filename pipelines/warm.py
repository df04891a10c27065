"""Imports what a step needs before its turn comes, then runs the step in the same process.

    python -m pipelines.warm LOG MODULE...

Importing TensorFlow or Evidently keeps one core busy for several seconds. The step before leaves a
core free, so the process of the next one is started early. It writes what the imports say to LOG,
waits for one line of JSON with the step's code and arguments, and goes on exactly as kfp's own
command would: the code in a file, `kfp.dsl.executor_main` on it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

READY = "loomline: imports are done"


def main() -> None:
    """Imports, waits, runs; ends quietly when there is nothing to run."""
    log, *modules = sys.argv[1:]
    outputs = os.dup(1)
    with Path(log).open("a", encoding="utf-8") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        for module in (*modules, "kfp.dsl.executor_main"):
            # The step itself will say what is missing, if it is.
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
        sys.stdout.flush()
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        return
    os.dup2(outputs, 1)
    os.dup2(outputs, 2)
    print(READY, flush=True)
    task = json.loads(line)
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "ephemeral_component.py"
        program.write_text(task["code"], "utf-8")
        sys.argv = ["executor_main", "--component_module_path", str(program), *task["arguments"]]
        from kfp.dsl import executor_main

        executor_main.executor_main()


if __name__ == "__main__":
    main()
