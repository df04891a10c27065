"""Exports the small SavedModels that the suite serves: `python saved_models.py FOLDER`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    predict_pb2,
    prediction_log_pb2,
    regression_pb2,
)

v1 = tf.compat.v1
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
LONG = "far too long " * 200


def half_plus(folder: Path, addend: float) -> None:
    """y = x / 2 + addend as a TensorFlow 1 graph whose signatures share one input of Examples.

    MultiInference wants exactly that: one input tensor for all its signatures.
    """
    with v1.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], name="tf_example")
        features = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        x = tf.identity(v1.parse_example(serialized, features)["x"], name="x")
        y = x * v1.get_variable("half", initializer=0.5) + addend
        words = tf.constant([["low", "high"]])
        classes = tf.tile(words, [tf.shape(x)[0], 1])
        scores = tf.concat([-y, y], axis=1)
        signatures = {
            "serving_default": _signature({"x": x}, {"y": y}, "tensorflow/serving/predict"),
            "scores_only": _signature({"inputs": serialized}, {"scores": y}, CLASSIFY),
            "classify": _signature(
                {"inputs": serialized}, {"classes": classes, "scores": scores}, CLASSIFY
            ),
            "regress": _signature({"inputs": serialized}, {"outputs": y}, REGRESS),
            "regress_flat": _signature(
                {"inputs": serialized}, {"outputs": tf.squeeze(y, axis=1)}, REGRESS
            ),
        }
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


def _signature(inputs: dict[str, Any], outputs: dict[str, Any], method: str) -> Any:
    def infos(tensors: dict[str, Any]) -> dict[str, Any]:
        return {name: v1.saved_model.build_tensor_info(value) for name, value in tensors.items()}

    return v1.saved_model.build_signature_def(infos(inputs), infos(outputs), method)


def column(dtype: Any, name: str) -> Any:
    return tf.TensorSpec([None], dtype, name)


class Kinds(tf.Module):
    """A TensorFlow 2 export: one signature for each kind of input, output and failure."""

    @tf.function(
        input_signature=[
            column(tf.float32, "single"),
            column(tf.float64, "double"),
            column(tf.int32, "whole"),
            column(tf.int64, "long"),
            column(tf.bool, "flag"),
            column(tf.string, "text"),
        ]
    )
    def echo(self, single, double, whole, long, flag, text):
        values = {"single": single, "double": double, "whole": whole, "long": long}
        values |= {"flag": flag, "text": text}
        return {name: tf.identity(value) for name, value in values.items()}

    @tf.function(input_signature=[column(tf.float32, "x")])
    def same(self, x):
        return {"y": tf.identity(x)}

    @tf.function(input_signature=[column(tf.int64, "n")])
    def count(self, n):
        return {"m": n + 1}

    @tf.function(input_signature=[column(tf.string, "image_bytes")])
    def picture(self, image_bytes):
        return {"picture_bytes": tf.identity(image_bytes), "length": tf.strings.length(image_bytes)}

    @tf.function(input_signature=[column(tf.string, "text")])
    def word(self, text):
        return {"word": tf.strings.join([text, "!"])}

    @tf.function(input_signature=[column(tf.float32, "x")])
    def total(self, x):
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
    def product(self, x):
        return {"y": tf.linalg.matmul(x, tf.constant([[1.0], [2.0]]))}

    @tf.function(input_signature=[column(tf.int32, "n")])
    def positive(self, n):
        wrong = ["n must be positive. Received:", tf.reduce_min(n)]
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(n > 0), wrong)]):
            return {"n": tf.identity(n)}

    @tf.function(input_signature=[column(tf.int32, "n")])
    def verbose(self, n):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(n > 0), [LONG])]):
            return {"n": tf.identity(n)}

    @tf.function(input_signature=[column(tf.string, "inputs")])
    def sorts(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return {"scores": x}

    @tf.function(input_signature=[column(tf.string, "inputs")])
    def values(self, inputs):
        x = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([1], tf.float32)})["x"]
        return {"outputs": x}


def kinds(folder: Path) -> None:
    """Saves `Kinds`, with the method names that Classify and Regress look for."""
    module = Kinds()
    words = "echo same count picture word total product positive verbose sorts values"
    signatures = {name: getattr(module, name) for name in words.split()}
    signatures["serving_default"] = module.same
    tf.saved_model.save(module, str(folder), signatures=signatures)
    updater = v1.saved_model.signature_def_utils.MethodNameUpdater(str(folder))
    updater.replace_method_name("sorts", CLASSIFY, tags="serve")
    updater.replace_method_name("values", REGRESS, tags="serve")
    updater.save()


def warm(source: Path, folder: Path, records: list[Any]) -> Path:
    """A copy of a SavedModel with warmup requests; `bytes` are written as they are."""
    shutil.copytree(source, folder)
    (folder / "assets.extra").mkdir()
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())
    return path


def all_calls() -> list[Any]:
    """A log of each kind that warmup supports, for `half_plus`."""
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "any"
    predict.inputs["x"].CopyFrom(tf.make_tensor_proto([[2.0]]))
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.signature_name = "classify"
    regress = regression_pb2.RegressionRequest()
    regress.model_spec.signature_name = "regress"
    multi = inference_pb2.MultiInferenceRequest()
    for signature, method in (("classify", CLASSIFY), ("regress", REGRESS)):
        task = multi.tasks.add(method_name=method)
        task.model_spec.name = "any"
        task.model_spec.signature_name = signature
    for request in (classify, regress, multi):
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(2.0)
    logs = [prediction_log_pb2.PredictionLog() for _ in range(4)]
    logs[0].predict_log.request.CopyFrom(predict)
    logs[1].classify_log.request.CopyFrom(classify)
    logs[2].regress_log.request.CopyFrom(regress)
    logs[3].multi_inference_log.request.CopyFrom(multi)
    return logs


def main(root: Path) -> None:
    """Writes every model under `root`."""
    half_plus(root / "half_plus_two", 2.0)
    half_plus(root / "half_plus_three", 3.0)
    kinds(root / "kinds")

    warm(root / "half_plus_two", root / "warm", all_calls())
    refused = prediction_log_pb2.PredictionLog()
    refused.predict_log.request.model_spec.signature_name = "positive"
    refused.predict_log.request.inputs["n"].CopyFrom(tf.make_tensor_proto([0], tf.int32))
    warm(root / "kinds", root / "warmup_fails", [refused])
    warm(root / "half_plus_two", root / "warmup_too_long", all_calls()[:1] * 1001)
    warm(root / "half_plus_two", root / "warmup_garbage", []).write_bytes(b"not a TFRecord" * 9)

    shutil.copytree(root / "half_plus_two", root / "corrupt")
    (root / "corrupt" / "saved_model.pb").write_bytes(b"\xff" * 200)
    shutil.copytree(root / "half_plus_two", root / "without_variables")
    shutil.rmtree(root / "without_variables" / "variables")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
