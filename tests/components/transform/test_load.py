"""The transform graph goes into an exported model, and the original may then be deleted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.artifacts import TransformGraph
from components.errors import DataError
from components.transform.load import load_transform

SERVE = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
result = loaded.signatures["tokenize"](tf.constant(json.load(sys.stdin)))
print(json.dumps({
    "tokens": result["tokens"].numpy().tolist(),
    "text": [text.decode() for text in result["text"].numpy()],
}))
"""


def export(graph: Path, destination: Path) -> None:
    class Exported(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.transform = load_transform(graph)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])  # type: ignore[untyped-decorator]
        def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            tokens = self.transform.tokenize(text)
            return {
                "tokens": tokens.to_tensor(-1),
                "text": self.transform.detokenize(tokens),
            }

    module = Exported()
    tf.saved_model.save(module, str(destination), signatures={"tokenize": module.tokenize})


def test_served_tokens_equal_training_tokens_after_the_graph_is_gone(
    step: Any, tmp_path: Path
) -> None:
    shutil.copytree(step.graph.path, tmp_path / "graph")
    texts = [*list(step.texts("eval").values())[:50], "", "new: 😀\x00\r\n"]
    expected = load_transform(tmp_path / "graph").tokenize(tf.constant(texts))
    export(tmp_path / "graph", tmp_path / "model")
    shutil.rmtree(tmp_path / "graph")
    served = subprocess.run(
        [sys.executable, "-c", SERVE, str(tmp_path / "model")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    result = json.loads(served.stdout.splitlines()[-1])
    assert result["text"] == texts
    assert [[t for t in row if t >= 0] for row in result["tokens"]] == expected.to_list()


def test_export_holds_stock_operations_only(step: Any, tmp_path: Path) -> None:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    from tensorflow.python.framework import op_def_registry

    export(step.graph.path, tmp_path / "model")
    saved = SavedModel.FromString((tmp_path / "model" / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    functions = {each.signature.name for each in graph.library.function}
    kinds = {node.op for node in nodes} - functions
    assert not {kind for kind in kinds if kind.startswith("Xla") or "PyFunc" in kind}
    assert all(op_def_registry.get(kind) is not None for kind in kinds)


def test_loading_imports_neither_beam_nor_transform(step: Any) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from components.transform.load import load_transform; "
        f"load_transform(Path({str(step.graph.path)!r})); "
        "bad = {'tensorflow_transform', 'apache_beam'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_missing_graph_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a transform graph"):
        load_transform(TransformGraph(tmp_path).path)
