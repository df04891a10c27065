"""Families of images against plain PyTorch: same networks, data and CPU seconds, on Fashion-MNIST.

Run by `make bench NAME=image`. Each family trains for `--cpu-seconds` on either side, who goes
first changing from family to family; one classifier, taught on the training split, then judges
2,000 samples of each. For each family `FAMILY.frechet` is the peer's Fréchet distance over ours
and `FAMILY.accuracy` our conditional accuracy over the peer's, so 1 is parity and more is better.
`FAMILY.serving` is the rate of a batch of 64 images through our gRPC server over that of the same
call in process. With `--curves`, everything is done anew for each of several shorter budgets.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import common, serving_load

if TYPE_CHECKING:
    from components.evaluate.image.classifier import Judge
    from components.evaluate.image.measure import Looked

FAMILIES = ("vae", "gan", "diffusion")
CPU_SECONDS, SAMPLES, BATCH, ROUNDS = 120.0, 2000, 64, 5
CURVE = (0.125, 0.25, 0.5, 1.0)
GOALS = {"frechet": 1.0, "accuracy": 1.0, "serving": 0.8}
# What the peer is set to, too; the rate is then multiplied by the family's own.
TRAINING: dict[str, Any] = {
    "batch_size": 64,
    "learning_rate": 1e-3,
    "warmup_steps": 50,
    "steps": 10_000_000,
    "eval_every": 10_000_000,
    "preview_every": 0,
}

Figures = dict[str, float]


class Setting:
    """The data on disk for both sides, and the judge of both.

    Args:
        folder: to write to.
    """

    def __init__(self, folder: Path) -> None:
        import numpy as np

        from components.artifacts import Examples
        from components.evaluate.image import data
        from components.evaluate.image.classifier import Judge
        from components.evaluate.image.measure import Looked
        from components.evaluate.image.options import EvaluateImageOptions
        from components.ingest.image.ingest import run as ingest
        from components.ingest.image.options import IngestImageOptions
        from components.transform.image.options import TransformImageOptions
        from components.transform.image.transform import run as transform

        self.folder, self.options = folder, EvaluateImageOptions(samples=SAMPLES)
        ingest(IngestImageOptions(source="fashion-mnist:"), folder / "examples")
        transform(
            folder / "examples",
            TransformImageOptions(),
            folder / "graph",
            folder / "transformed",
        )
        source = Examples(folder / "examples")
        self.names: list[str] = source.manifest().details["labels"]
        self.wanted = data.wanted(source, self.names, self.options)
        self.ids = data.ids(self.wanted, self.names)
        images = data.read(source, self.names, (28, 28, 1), self.options)
        np.savez(
            folder / "peer.npz",
            images=images.training,
            labels=images.train_labels,
            wanted=self.ids,
        )
        self.judge: Judge = Judge((28, 28, 1), len(self.names), self.options.seed)
        rows = slice(self.options.classifier_rows)
        self.judge.teach(
            images.training[rows],
            images.train_labels[rows],
            self.options.classifier_epochs,
        )
        self.real: Looked = Looked.by(self.judge, images.held_out, images.held_out_labels)
        assert self.real.recognized is not None
        accuracy = self.real.recognized.mean()
        print(f"the judge recognizes {accuracy:.1%} of held-out images", flush=True)

    def score(self, images: Any) -> Figures:
        """Fréchet distance and conditional accuracy of images, one for each wanted class."""
        from components.evaluate.image.distances import frechet
        from components.evaluate.image.measure import Looked

        made = Looked.by(self.judge, images, self.ids)
        assert made.recognized is not None
        return {
            "frechet": frechet(made.features, self.real.features),
            "accuracy": float(made.recognized.mean()),
        }


def main() -> None:
    """Trains and scores all, and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cpu-seconds", type=float, default=CPU_SECONDS, help="for each model")
    parser.add_argument("--families", default=",".join(FAMILIES), help="by comma")
    parser.add_argument("--curves", action="store_true", help="shorter budgets as well")
    chosen = parser.parse_args()
    families = chosen.families.split(",")
    if not chosen.cpu_seconds > 0 or not set(families) <= set(FAMILIES):
        parser.error(f"expected seconds above 0 and families of {', '.join(FAMILIES)}")
    with tempfile.TemporaryDirectory() as name:
        setting = Setting(Path(name))
        figures: Figures = {}
        for share in CURVE if chosen.curves else (1.0,):
            figures = compare(setting, families, chosen.cpu_seconds * share)
        for family in families:
            figures[f"{family}.serving"] = serving(setting, family)
    goals = {name: GOALS[name.partition(".")[2]] for name in figures}
    common.conclude("image", figures, goals)


def compare(setting: Setting, families: list[str], cpu_seconds: float) -> Figures:
    """Trains every family on both sides for so long, and prints and returns the ratios."""
    figures: Figures = {}
    rows: list[tuple[object, ...]] = []
    with common.peer("torch_image.py", "--data", setting.folder / "peer.npz") as worker:
        for number, family in enumerate(families):
            if number % 2:
                theirs = _theirs(setting, worker, family, cpu_seconds)
                ours = _ours(setting, family, cpu_seconds)
            else:
                ours = _ours(setting, family, cpu_seconds)
                theirs = _theirs(setting, worker, family, cpu_seconds)
            for side, found in (("Loomline", ours), ("PyTorch", theirs)):
                cells = [found[name] for name in ("steps", "parameters", "frechet", "accuracy")]
                rows.append((f"{family}, {side}", *cells))
            figures[f"{family}.frechet"] = theirs["frechet"] / ours["frechet"]
            figures[f"{family}.accuracy"] = ours["accuracy"] / max(theirs["accuracy"], 1e-9)
    columns = ["model", "steps", "parameters", "Fréchet distance", "conditional accuracy"]
    common.print_table(f"After {cpu_seconds:g} CPU seconds", columns, rows)
    return figures


def _model(setting: Setting, family: str) -> Path:
    return setting.folder / family / "model"


def _ours(setting: Setting, family: str, cpu_seconds: float) -> Figures:
    import shutil

    from components.artifacts import Model
    from components.evaluate.image.served_images import ServedImages
    from components.train.families.options import FamilyTrainOptions
    from components.train.families.training import run

    folder, model = setting.folder, _model(setting, family)
    shutil.rmtree(model.parent, ignore_errors=True)
    options = FamilyTrainOptions(family=family, cpu_seconds=cpu_seconds, **TRAINING)
    parts = (folder / "transformed", folder / "graph", options)
    found = run(*parts, model.parent / "checkpoints", model, model.parent / "logs")
    drawn = ServedImages(Model(model).saved_model).draw(setting.wanted)
    return {**found, **setting.score(drawn.images)}


def _theirs(setting: Setting, worker: common.Worker, family: str, cpu_seconds: float) -> Figures:
    import numpy as np

    out = setting.folder / "made.npy"
    asked = {"family": family, "cpu_seconds": cpu_seconds, "rate": _rate(setting, family)}
    found = worker.ask({**asked, "out": str(out)})
    return {**found, **setting.score(np.load(out))}


def _rate(setting: Setting, family: str) -> float:
    """The learning rate that our side trains at."""
    from components.artifacts import TransformedExamples
    from components.train.families.registry import make_family

    data = TransformedExamples(setting.folder / "transformed").statistics()
    player = make_family(family, {}, data).players()[-1]
    return float(TRAINING["learning_rate"] * player.rate)


def serving(setting: Setting, family: str) -> float:
    """Rate of a batch through gRPC over that of the same call in process; median of pairs."""
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    base = setting.folder / family / "served"
    (base / "1").parent.mkdir(parents=True, exist_ok=True)
    (base / "1").symlink_to(_model(setting, family) / "saved_model")
    signature = tf.saved_model.load(str(base / "1")).signatures["generate"]
    values = {
        "label": tf.constant((setting.names * BATCH)[:BATCH]),
        "seed": tf.range(BATCH, dtype=tf.int64),
    }
    for name in signature.structured_input_signature[1]:
        # Not a number: what the family takes by itself.
        values.setdefault(name, tf.constant([float("nan")], tf.float32))
    request = predict_pb2.PredictRequest()
    request.model_spec.name = serving_load.MODEL
    request.model_spec.signature_name = "generate"
    for name, value in values.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
    with serving_load.server(base) as address, grpc.insecure_channel(address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict

        def through() -> float:
            begun = time.perf_counter()
            tf.make_ndarray(predict(request, timeout=120).outputs["image"])
            return 1 / (time.perf_counter() - begun)

        def inside() -> float:
            begun = time.perf_counter()
            signature(**values)["image"].numpy()
            return 1 / (time.perf_counter() - begun)

        through(), inside()
        pairs = common.alternate(
            ROUNDS,
            lambda: statistics.median(through() for _ in range(5)),
            lambda: statistics.median(inside() for _ in range(5)),
        )
    return common.median_ratio(pairs)


if __name__ == "__main__":
    main()
