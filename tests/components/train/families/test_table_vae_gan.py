"""The VAE and the GAN of tables learn what goes together, and say how well they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.train.families.family import Batch, TableFamily
from components.train.families.learner import FamilyLearner
from components.train.families.options import FamilyTrainOptions
from components.train.families.registry import make_family
from components.train.families.table_gan import CRITIC, FREQUENCIES, GENERATOR, TableGan

ROWS = 2000
COLUMNS: list[dict[str, Any]] = [
    {
        "name": "kind", "kind": "categorical", "dtype": "string", "nullable": False, "size": 4,
        "categories": ["x", "y", "z"], "unknown": 3,
    },
    {
        "name": "size", "kind": "numerical", "dtype": "double", "nullable": True, "size": 3,
        "missing": 2, "means": [0.0, 5.0], "deviations": [1.0, 2.0], "weights": [0.5, 0.5],
        "value": 0, "minimum": -4.0, "maximum": 13.0,
    },
    {
        "name": "sure", "kind": "boolean", "dtype": "bool", "nullable": False, "size": 2,
        "categories": ["false", "true"],
    },
]  # fmt: skip
DATA: dict[str, Any] = {
    "modality": "table",
    "columns": COLUMNS,
    "constraints": [],
    "train": {"rows": ROWS},
}
SHARES = [0.6, 0.3, 0.1]
TINY: dict[str, dict[str, Any]] = {
    "vae": {"width": 32, "latent": 4},
    "gan": {"width": 32, "latent": 8, "pac": 4},
}
STEPS = {"vae": 400, "gan": 400}


def make_rows() -> Batch:
    """The kind says the mode, and how sure it is; a value lies at 0.4 or at -0.4, by mode."""
    random = np.random.default_rng(0)
    kind = random.choice(3, ROWS, p=SHARES).astype(np.int32)
    mode = np.array([0, 1, 2], np.int32)[kind]
    sure = (kind == 0).astype(np.int32)
    value = np.array([0.4, -0.4, 0.0])[mode] + random.normal(0, 0.05, ROWS) * (mode < 2)
    return {
        "codes": tf.constant(np.stack([kind, mode, sure], 1)),
        "values": tf.constant(value[:, None], tf.float32),
    }


def make(name: str, **options: Any) -> TableFamily:
    made = make_family(name, {**TINY[name], **options}, DATA, seed=3)
    assert isinstance(made, TableFamily)
    return made


@pytest.fixture(scope="module", params=["vae", "gan"])
def trained(request: pytest.FixtureRequest) -> TableFamily:
    name: str = request.param
    family = make(name)
    options = FamilyTrainOptions(family=name, batch_size=100, ema=0.0, clip_norm=10.0)
    learner = FamilyLearner(family, options, float16=False)
    rows, random = make_rows(), np.random.default_rng(1)
    for step in range(STEPS[name]):
        chosen = random.integers(0, ROWS, learner.rows)
        batch = {key: tf.gather(tensor, chosen) for key, tensor in rows.items()}
        learner.train(batch, step, 5e-3)
    return family


def sample(
    family: TableFamily, rows: int, temperature: float = 1.0, known: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the seeds 0, 1, ...; of `known`, if given, the kind is 2."""
    given = np.zeros((rows, 3), bool)
    codes = np.zeros((rows, 3), np.int32)
    if known is not None:
        given[:, 0], codes[:, 0] = True, known
    found = family.sample(
        tf.constant(given),
        tf.constant(codes),
        tf.zeros([rows, 1]),
        tf.range(rows, dtype=tf.int64),
        tf.fill([rows], temperature),
    )
    return found[0].numpy(), found[1].numpy()


def test_what_goes_together_is_learnt(trained: TableFamily) -> None:
    codes, values = sample(trained, 2000)

    assert codes.dtype == np.int32
    assert set(codes[:, 0]) == {0, 1, 2}, "every category, and never the unknown one"
    shares = np.bincount(codes[:, 0], minlength=3) / len(codes)
    np.testing.assert_allclose(shares, SHARES, atol=0.12)
    assert np.mean(codes[:, 1] == codes[:, 0]) > 0.85, "modes and missing values follow the kind"
    assert np.mean((codes[:, 0] == 0) == codes[:, 2]) > 0.85
    assert np.all(values[codes[:, 1] == 2] == 0), "what is missing has no value"
    for mode, mean in ((0, 0.4), (1, -0.4)):
        assert abs(np.median(values[codes[:, 1] == mode]) - mean) < 0.15
    assert np.all(np.abs(values) <= 1)


def test_rows_do_not_depend_on_the_rows_beside_them(trained: TableFamily) -> None:
    many, few = sample(trained, 60), sample(trained, 6)

    np.testing.assert_array_equal(many[0][:6], few[0])
    np.testing.assert_allclose(many[1][:6], few[1], atol=1e-5)
    assert len(np.unique(many[1])) > 20


def test_a_lower_temperature_gives_rows_that_are_more_alike(trained: TableFamily) -> None:
    usual = sample(trained, 200, temperature=0.1, known=0)[1]
    assert np.std(usual) < np.std(sample(trained, 200, known=0)[1])


def test_the_bound_of_many_samples_is_tighter_and_the_same_each_time() -> None:
    family = make("vae", beta=1.0)
    rows = make_rows()

    first = family.score(rows["codes"], rows["values"])
    again = family.score(rows["codes"][:7], rows["values"][:7])

    assert first is not None
    assert again is not None
    np.testing.assert_allclose(first[:7], again, rtol=1e-4)
    elbo, scalars = family.loss("vae", rows, tf.constant([1, 2]), False)
    assert np.isclose(float(elbo), float(scalars["reconstruction"] + scalars["divergence"]))
    assert float(tf.reduce_mean(first)) < float(elbo)


def test_a_bound_is_lower_for_rows_like_those_learnt() -> None:
    family = make("vae")
    learner = FamilyLearner(
        family, FamilyTrainOptions(family="vae", batch_size=100, ema=0.0), float16=False
    )
    rows = make_rows()
    for step in range(100):
        start = 100 * (step % 20)
        learner.train({k: v[start : start + 100] for k, v in rows.items()}, step, 5e-3)
    odd = tf.stack([rows["codes"][:, 0], (rows["codes"][:, 1] + 1) % 2, rows["codes"][:, 2]], 1)

    usual, strange = family.score(**rows), family.score(odd, rows["values"])

    assert usual is not None
    assert strange is not None
    assert float(tf.reduce_mean(strange - usual)) > 1.0


@pytest.fixture(scope="module")
def gan() -> TableGan:
    made = make("gan")
    assert isinstance(made, TableGan)
    return made


def test_conditions_are_drawn_by_the_logarithm_of_the_frequency(gan: TableGan) -> None:
    rows = make_rows()

    codes, values, asked = gan._by_sampling(rows["codes"], rows["values"], tf.constant([5, 6]))

    assert codes.shape[0] == ROWS // 4 * 4
    assert set(asked.numpy()) == {0, 2}, "numbers in modes are no condition"
    of_kind = codes.numpy()[asked.numpy() == 0, 0]
    counts = np.bincount(rows["codes"].numpy()[:, 0])
    expected = np.log1p(counts) / np.log1p(counts).sum()
    found = np.bincount(of_kind) / len(of_kind)
    np.testing.assert_allclose(found, expected, atol=5 * np.sqrt(0.25 / len(of_kind)))
    np.testing.assert_array_equal(codes[:, 1], codes[:, 0])  # Rows stay whole.
    assert np.all(values.numpy()[codes.numpy()[:, 1] == 0] > 0)


def test_the_frequencies_lead_to_those_of_the_data(gan: TableGan) -> None:
    rows = make_rows()
    kernel = gan.frequencies.trainable_variables[0]

    @tf.function(autograph=False)
    def slope() -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss, _ = gan.loss(FREQUENCIES, rows, tf.constant([0, 0]), True)
        return tape.gradient(loss, kernel.value)

    for _ in range(60):
        kernel.assign_sub(3.0 * slope())
    shares = tf.nn.softmax(kernel[0, :4]).numpy()
    np.testing.assert_allclose(shares[:3], SHARES, atol=0.05)


def test_a_known_category_is_the_condition() -> None:
    """The condition reaches the generator; nothing else of the row is taken over."""
    family = make("gan")
    assert isinstance(family, TableGan)
    free, asked = sample(family, 64)[1], sample(family, 64, known=2)[1]
    rare, common = sample(family, 64, known=2)[1], sample(family, 64, known=0)[1]
    assert not np.allclose(free, asked)
    assert not np.allclose(rare, common)


def test_the_penalty_holds_the_slope_and_batches_smaller_than_a_pack_work(gan: TableGan) -> None:
    rows = {key: tensor[:3] for key, tensor in make_rows().items()}
    loss, scalars = gan.loss(CRITIC, rows, tf.constant([1, 2]), True)
    expected = 10.0 * float(scalars["penalty"]) - float(scalars["wasserstein"])
    assert np.isclose(float(loss), expected, rtol=1e-4)
    generator, scalars = gan.loss(GENERATOR, rows, tf.constant([1, 2]), False)
    assert np.isfinite(float(generator))
    assert float(scalars["condition_loss"]) > 0


def test_a_table_without_categories_is_learnt_without_conditions() -> None:
    data = {**DATA, "columns": [COLUMNS[1]]}
    family = make_family("gan", TINY["gan"], data, seed=0)
    rows = make_rows()
    batch = {"codes": rows["codes"][:16, 1:2], "values": rows["values"][:16]}
    for player in family.players():
        loss, _ = family.loss(player.name, batch, tf.constant([3, 4]), True)
        assert np.isfinite(float(loss))


def test_collapse_and_a_steep_critic_are_told(gan: TableGan) -> None:
    good = {"generator.diversity": 0.9, "critic.slope": 1.1}
    assert gan.health(good) == ""
    assert "collapsed" in gan.health({**good, "generator.diversity": 0.1})
    assert "slope is 9.0" in gan.health({**good, "critic.slope": 9.0})
    rows = make_rows()
    _, scalars = gan.loss(GENERATOR, rows, tf.constant([1, 2]), False)
    assert 0 < float(scalars["diversity"]) < 2
