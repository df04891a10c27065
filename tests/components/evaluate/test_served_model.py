"""A SavedModel is judged through its signatures, and unfit ones are refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.artifacts import Model
from components.errors import ModelError
from components.evaluate.options import EvaluateOptions
from components.evaluate.sampling import draw
from components.evaluate.served_model import ServedModel, Settings


@pytest.fixture(scope="module")
def served(model: Path) -> ServedModel:
    return ServedModel(Model(model).saved_model)


def test_scores_keep_the_order_of_the_texts(
    served: ServedModel, train_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*train_texts[:7], "", "a", train_texts[0]]
    whole = served.score(texts)
    monkeypatch.setattr("components.evaluate.served_model._SCORE_BATCH", 3)
    batched = served.score(texts)
    assert batched.nll == pytest.approx(whole.nll, rel=1e-5)
    assert whole.nll[0] == pytest.approx(whole.nll[-1])
    assert whole.num_tokens.tolist() == [len(text.encode()) + 1 for text in texts]


def test_every_prompt_has_its_own_limit_and_seed(served: ServedModel) -> None:
    settings = Settings(1.0, 0, 1.0)
    made = served.generate(["The", "The", "The", ""], [5, 5, 9, 1], [1, 2, 1, 3], settings)
    assert made.texts[0] != made.texts[1]
    assert made.texts[2].startswith(made.texts[0])
    assert all(count <= limit for count, limit in zip(made.num_tokens, [5, 5, 9, 1], strict=True))
    assert made.seconds > 0


def test_samples_and_prompts_stay_within_the_context(
    served: ServedModel, train_texts: list[str]
) -> None:
    options = EvaluateOptions(samples=12, sample_tokens=64)
    wide, _ = draw(served, train_texts, 1000, options)
    assert any(len(sample.prompt) > 20 for sample in wide)
    assert max(sample.num_tokens for sample in wide) <= 64
    narrow, speed = draw(served, train_texts, 40, options)
    assert all(len(sample.prompt.encode()) + sample.num_tokens < 40 for sample in narrow)
    assert all(len(sample.human) <= len(sample.text) for sample in narrow)
    assert speed > 0


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Received: no saved_model"):
        ServedModel(tmp_path)


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="expected a readable SavedModel"):
        ServedModel(tmp_path)


def test_a_model_without_the_signatures_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path))
    with pytest.raises(ModelError, match="expected the signatures generate, score, tokenize"):
        ServedModel(tmp_path)
