"""Models of images and tables are asked what changes their answers, and what they must refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.serving_check.probes import Request, probes
from components.serving_check.worker import decode


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[Request]:
    """Of a model with an image's and a table's signatures and warmup requests."""
    import tensorflow as tf

    from components.train.warmup import write_requests

    def signature(**kinds: Any) -> Any:
        specs = [tf.TensorSpec([None], kind, name) for name, kind in kinds.items()]
        return tf.function(
            lambda *given: {"rows": tf.size(given[0])}, input_signature=specs, autograph=False
        )

    module = tf.Module()
    module.served = {
        "generate": signature(label=tf.string, seed=tf.int64, guidance=tf.float32),
        "embed": signature(image=tf.string),
        "rows": signature(
            num_rows=tf.int32, conditions=tf.string, temperature=tf.float32, seed=tf.int64
        ),
    }
    path: Path = tmp_path_factory.mktemp("model") / "saved_model"
    tf.saved_model.save(module, str(path), signatures=module.served)
    seeds, two = np.array([3, 4], np.int64), np.array(["a", "b"], object)
    one = np.ones(1, np.float32)
    rows = {"num_rows": np.array([2], np.int32), "conditions": np.array([], object)}
    write_requests(
        path,
        [
            ("generate", {"label": two, "seed": seeds, "guidance": one}),
            ("embed", {"image": two}),
            ("rows", {**rows, "temperature": one, "seed": seeds[:1]}),
        ],
    )
    return probes(path)


def asked(requests: list[Request], signature: str, name: str) -> list[Any]:
    return [
        decode(request["inputs"][name]).tolist()
        for request in requests
        if request["signature"] == signature
    ]


def test_an_image_model_is_asked_for_any_class_and_for_none_it_has(
    requests: list[Request],
) -> None:
    labels = asked(requests, "generate", "label")
    assert labels[0] == [b"a", b"b"]
    assert [b"", b""] in labels
    assert [b"no class has this name"] * 2 in labels


def test_a_parameter_is_left_to_the_family_and_taken_out_of_its_range(
    requests: list[Request],
) -> None:
    values = [values[0] for values in asked(requests, "generate", "guidance")]
    assert any(np.isnan(value) for value in values)
    assert min(values) == pytest.approx(-1e9)


def test_what_is_no_image_is_sent_to_signatures_that_take_one(requests: list[Request]) -> None:
    assert asked(requests, "embed", "image") == [[b"a", b"b"], [b"no image"] * 2]


def test_a_table_model_is_asked_for_more_rows_and_for_what_it_refuses(
    requests: list[Request],
) -> None:
    counts = {values[0] for values in asked(requests, "rows", "num_rows")}
    assert counts == {2, 7, -1}
    assert [b"no column has this name=1"] in asked(requests, "rows", "conditions")
    assert {values[0] for values in asked(requests, "rows", "temperature")} == {1.0, 0.5, -1.0}
    assert {values[0] for values in asked(requests, "rows", "seed")} == {1, 2, 3}
