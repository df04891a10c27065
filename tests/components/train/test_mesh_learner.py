"""A model in parts on four devices learns, under JAX, what one device learns under TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.train.learners import make_learner
from components.train.options import TrainOptions

VOCABULARY, STEPS, BROKEN_AT = 48, 10, 6
SHAPE = {
    "layers": 2,
    "width": 32,
    "heads": 4,
    "context": 8,
    "batch_size": 8,
    "steps": STEPS,
    "warmup_steps": 2,
    "ema": 0.5,
    "l1": 1e-5,
    "clip_norm": 0.1,
    "xla": False,
}
# Trains on 2 x 2 devices and then on 1 x 4: from the start, and from where 2 x 2 was at step 6.
PROGRAM = """
import json, re, sys
from pathlib import Path
import keras
import numpy as np
from components.train.mesh_learner import MeshLearner
from components.train.options import TrainOptions

folder, shape, broken_at = Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
data, initial = np.load(folder / "data.npz"), dict(np.load(folder / "initial.npz"))

def put(learner, arrays):
    assert [name for name, _ in learner.variables()] == list(arrays)
    for name, variable in learner.variables():
        variable.assign(arrays[name])

def taken(learner):
    return {name: variable.numpy() for name, variable in learner.variables()}

def train(learner, batches):
    return [[float(value) for value in learner.train(batch)] for batch in batches]

def save(name, learner, told):
    with learner.averaged():
        judged = learner.evaluate(data["held_out"])
    np.savez(folder / f"{name}.npz", told=told, judged=judged, **taken(learner))

halfway, facts = None, {}
for parts in (2, 4):
    keras.utils.clear_session()  # names anew
    options = TrainOptions(**shape, distribution="model_parallel", model_parallel=parts)
    learner = MeshLearner(int(data["vocabulary"]), options)
    put(learner, initial)
    told = train(learner, data["batches"][:broken_at])
    halfway = halfway or taken(learner)
    told += train(learner, data["batches"][broken_at:])
    save(str(parts), learner, told)
    state = tuple([variable.value for variable in group] for group in learner._groups())
    placed = learner.mesh.place(data["batches"][0])
    text = learner._train.lower(state, placed).compile().as_text()
    moved = re.findall(r"= (.*?) (?:all-gather|all-to-all|collective-permute)(?:-start)?\\(", text)
    variables = [*learner.model.variables, *learner.optimizer.variables]
    facts[parts] = {
        "moved": sorted(set(re.findall(r"\\[[\\d,]*\\]", " ".join(moved)))),
        "shards": {
            variable.path: [list(shard.data.shape) for shard in variable.value.addressable_shards]
            for variable in variables
        },
        "bytes": learner.bytes_of_variables(),
        "rows": [list(shard.data.shape) for shard in placed.addressable_shards],
        "compiled": learner._train._cache_size(),
    }
np.savez(folder / "halfway.npz", **halfway)
put(learner, halfway)
save("moved", learner, train(learner, data["batches"][broken_at:]))

noisy = {**shape, "layers": 1, "dropout": 0.5, "distribution": "model_parallel"}
noisy |= {"learning_rate": 1e-30, "weight_decay": 0}
learner = MeshLearner(int(data["vocabulary"]), TrainOptions(**noisy))
train(learner, data["batches"][:1])
start = taken(learner)
facts["dropped"] = []
for _ in range(2):
    put(learner, start)
    facts["dropped"].append(train(learner, [data["batches"][0]] * 2))
(folder / "facts.json").write_text(json.dumps(facts))
"""


class Meshes:
    """What one device, and the program above, made of the same weights and batches."""

    def __init__(self, folder: Path) -> None:
        learner = make_learner(VOCABULARY, TrainOptions.model_validate(SHAPE), None)
        self.initial = self._variables(learner)
        np.savez(folder / "initial.npz", **self.initial)
        random = np.random.default_rng(0)
        batches = random.integers(0, VOCABULARY, (STEPS, 8, 9)).astype("int32")
        # Three windows, which two replicas cannot share equally.
        held_out = random.integers(0, VOCABULARY, (2, 3, 9)).astype("int32")
        np.savez(folder / "data.npz", batches=batches, held_out=held_out, vocabulary=VOCABULARY)
        self.alone = self._trained(learner, batches, held_out)
        environment = {
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        }
        command = [sys.executable, "-c", PROGRAM, str(folder), json.dumps(SHAPE), str(BROKEN_AT)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        self.on = {name: dict(np.load(folder / f"{name}.npz")) for name in ("2", "4", "moved")}
        self.facts = json.loads((folder / "facts.json").read_text())

        halfway = np.load(folder / "halfway.npz")
        for name, variable in learner.variables():
            variable.assign(halfway[name])
        self.on["one"] = self._trained(learner, batches[BROKEN_AT:], held_out)

    def _trained(self, learner: Any, batches: Any, held_out: Any) -> dict[str, Any]:
        told = [[float(value) for value in learner.train(batch)] for batch in batches]
        with learner.averaged():
            judged = learner.evaluate(held_out)
        return {"told": told, "judged": judged, **self._variables(learner)}

    @staticmethod
    def _variables(learner: Any) -> dict[str, Any]:
        return {name: variable.numpy() for name, variable in learner.variables()}


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Meshes:
    pytest.importorskip("jax", reason="jax is missing: pip install 'loomline[jax]'")
    return Meshes(tmp_path_factory.mktemp("meshes"))


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["2", "4"])
def test_losses_gradients_and_weights_are_those_of_one_device(meshes: Meshes, parts: str) -> None:
    found = meshes.on[parts]
    assert set(found) == set(meshes.alone)
    for name, value in meshes.alone.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-6, atol=2e-6, err_msg=name)
    learnt = np.abs(found["model.5"] - meshes.initial["model.5"]).max()
    assert learnt > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("where", ["moved", "one"])
def test_another_mesh_and_one_device_go_on_where_a_mesh_stopped(meshes: Meshes, where: str) -> None:
    whole, moved = meshes.on["2"], meshes.on[where]
    np.testing.assert_allclose(moved["told"], whole["told"][BROKEN_AT:], rtol=2e-6)
    for name in set(whole) - {"told"}:
        np.testing.assert_allclose(moved[name], whole[name], atol=2e-6, err_msg=name)


@pytest.mark.slow
def test_dropout_goes_on_as_it_would_have_and_takes_other_units_each_step(meshes: Meshes) -> None:
    first, again = meshes.facts["dropped"]
    assert again == first
    # At this rate no weight moves: the loss differs by what is dropped alone.
    assert abs(first[0][0] - first[1][0]) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("parts", [2, 4])
def test_each_device_holds_its_part_of_matrices_momentum_and_batch(
    meshes: Meshes, parts: int
) -> None:
    facts = meshes.facts[str(parts)]
    expected = {
        "decoder/token_embedding": [48 // parts, 32],
        "muon/decoder_token_embedding_velocity": [48 // parts, 32],
        "block_1/qkv": [32, 96 // parts],
        "muon/block_1_qkv_momentum": [32, 96 // parts],
        "block_1/project": [32 // parts, 32],
        "block_1/expand": [32, 128 // parts],
        "block_1/contract": [128 // parts, 32],
        "muon/block_1_contract_momentum": [128 // parts, 32],
        "decoder/final_norm": [32],
    }
    for path, shape in expected.items():
        assert facts["shards"][path] == [shape] * 4, path
    assert facts["rows"] == [[8 * parts // 4, 9]] * 4
    # All but scales, positions and Adam's state of these is cut.
    part, whole = facts["bytes"]
    assert 1 / parts <= part / whole < 1 / parts + 0.03
    assert facts["compiled"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("parts", ["2", "4"])
def test_no_device_is_sent_a_whole_embedding_or_the_logits(meshes: Meshes, parts: str) -> None:
    rows = {"2": 32, "4": 64}[parts]
    moved = meshes.facts[parts]["moved"]
    for whole in ("[48,32]", "[32,48]", f"[{rows},48]", "[32,96]", "[32,128]", "[128,32]"):
        assert whole not in moved
    # Muon's iteration brings `project` together, the only matrix with no longer side to cut.
    assert moved
