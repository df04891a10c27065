"""A mistake on the command line ends in one line and exit code 2; help is there without waiting."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import main
from pipelines.modalities import MODALITIES


def loomline(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "txet"], "expected the path of a YAML file or one of "),
        (["run", "text", "--profile=fast"], "Accepted: quick, full"),
        (["run", "text", "--set=train.layres=6"], "Did you mean train.layers?"),
        (["run", "text", "--set=train.layers=six"], "valid integer"),
        (["run", "text", "--set=validate.suite=txet", "--output={tmp}"], "validate.suite"),
        (["run", "text", "--set=ingest.source=sotu:1900", "--output={tmp}"], "after 'sotu:'"),
        (["run", "text", "--set=ingest.source=my.txt"], "leave reference_from, reference_to, curr"),
        (["run", "text", "--output={tmp}/a file"], "--output expects a folder"),
        (["serve", "text", "--output={tmp}/nothing"], "loomline run text"),
        (["compile", "text", "--set=train.heads=3"], "heads must divide width"),
        (["generate", "--address=127.0.0.1:1", "x"], "127.0.0.1:1"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "a file").touch()
    result = loomline(*(argument.replace("{tmp}", str(tmp_path)) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr


def test_config_shows_a_value_with_its_meaning() -> None:
    shown = loomline("config", "text", "--set", "train.layers=7").stdout
    assert "  layers: 7\n      # Transformer blocks." in shown


@pytest.mark.parametrize("modality", MODALITIES)
def test_config_shows_every_option(modality: str) -> None:
    shown = loomline("config", modality).stdout
    for options in MODALITIES[modality].sections.values():
        for name, field in options.model_fields.items():
            assert f"  {name}: " in shown
            assert f"# {field.description}" in shown


def test_compile_says_where_the_pipeline_lies(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "text.yaml"
    result = loomline("compile", "text", f"--to={target}")
    assert result.exit_code == 0, result.output
    assert str(target) in result.stdout
    assert target.is_file()
