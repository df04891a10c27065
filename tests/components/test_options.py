"""Options are checked where they enter a step, and described once for code and UI."""

import pytest

from components.errors import ConfigError
from components.options import chosen, describe
from components.train.options import TrainOptions


def test_options_are_built_from_the_parameters_of_a_step() -> None:
    options = chosen(TrainOptions, {"layers": 2, "code_digest": "unrelated"})
    assert options.layers == 2
    assert options.width == TrainOptions().width


def test_a_wrong_parameter_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="layers: input should be greater than or equal to 1"):
        chosen(TrainOptions, {"layers": 0})


def test_a_docstring_is_completed_with_every_option() -> None:
    @describe(TrainOptions, code_digest="Digest.")
    def function() -> None:
        """Trains."""

    lines = (function.__doc__ or "").splitlines()
    assert lines[0] == "Trains."
    assert "        layers: Transformer blocks." in lines
    assert "        code_digest: Digest." in lines
