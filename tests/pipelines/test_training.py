"""The compiled pipeline is what the configuration and the Kubeflow UI expect."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.compilation import compile_config
from pipelines.config import load_config
from pipelines.hardware import load_hardware
from pipelines.hardware.placing import descriptions as hardware_descriptions
from pipelines.modalities import MODALITIES
from pipelines.parameters import RUN_DEFAULTS, RUN_PARAMETERS, descriptions
from pipelines.training import FOUND_OUT, NOTIFY, cluster_defaults

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture(scope="module", params=MODALITIES)
def modality(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def compiled(modality: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compiled") / f"{modality}.yaml"
    compile_config(load_config(modality), path)
    return path


@pytest.fixture(scope="module")
def spec(compiled: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = next(yaml.safe_load_all(compiled.read_text("utf-8")))
    return loaded


def comparable(path: Path) -> str:
    """Without the SDK's version, and without the head, whose digest covers it."""
    text = re.sub(r"(?m)^#.*\n", "", path.read_text("utf-8"))
    return re.sub(r"sdkVersion: .*", "", text)


def test_the_compiled_pipeline_is_the_golden_one(compiled: Path, modality: str) -> None:
    golden = GOLDEN / f"{modality}-quick.yaml"
    same = comparable(compiled) == comparable(golden)
    assert same, f"the compiled pipeline differs from {golden}; if that is meant: make docs"


def test_every_parameter_is_described(spec: dict[str, Any]) -> None:
    steps = [c for c in spec["components"].values() if "executorLabel" in c]
    assert len(steps) == 10
    for component in [spec["root"], *steps]:
        for name, parameter in component["inputDefinitions"].get("parameters", {}).items():
            # A parameter of the pipeline that Kubeflow passes on to say where a step runs.
            if not name.startswith("pipelinechannel--"):
                assert parameter.get("description"), name


def test_defaults_come_from_the_configuration(spec: dict[str, Any], modality: str) -> None:
    parameters = spec["root"]["inputDefinitions"]["parameters"]
    hardware = load_hardware("cpu")
    expected = {**load_config(modality).parameters(), **RUN_DEFAULTS, **cluster_defaults(hardware)}
    expected |= {"push_base_path": "/loomline/models", "push_waiting": "/loomline/models"}
    expected["checkpoints"] = "/loomline/checkpoints"
    described = {**descriptions(MODALITIES[modality]), **NOTIFY, **hardware_descriptions(hardware)}
    for name in FOUND_OUT:
        del expected[name], described[name]
    assert set(parameters) == set(expected) == set(described)
    for name, value in expected.items():
        assert parameters[name]["defaultValue"] == value, name


@pytest.mark.parametrize("step", MODALITIES["text"].sections)
def test_a_steps_interface_has_exactly_the_steps_options(
    step: str, spec: dict[str, Any], modality: str
) -> None:
    inputs = spec["components"][f"comp-{step}"]["inputDefinitions"]["parameters"]
    component = {name for name in inputs if not name.startswith("pipelinechannel--")}
    of_the_run = {"source_digest", "code_digest", "champion", "checkpoints"}
    of_the_run |= {"champion_digest", "records", "provenance", "prompts_digest"}
    # Text can be trained by workers, of which the profile of hardware tells.
    many = {"workers"} if step == "train" and modality == "text" else set()
    assert many <= component
    assert component - of_the_run - many == set(MODALITIES[modality].sections[step].model_fields)
    assert of_the_run == set(RUN_PARAMETERS)


def test_what_looks_at_the_world_or_acts_on_it_is_never_cached(spec: dict[str, Any]) -> None:
    def tasks(dag: dict[str, Any]) -> dict[str, bool]:
        found = {}
        for task in dag["dag"]["tasks"].values():
            name = task["componentRef"]["name"]
            component = spec["components"][name]
            if "dag" in component:
                found |= tasks(component)
            else:
                found[name] = bool(task["cachingOptions"].get("enableCache"))
        return found

    cached = tasks(spec["root"])
    assert len(cached) == 10
    uncached = {"comp-champion", "comp-gate", "comp-push", "comp-summarize"}
    assert {name for name, hit in cached.items() if not hit} == uncached


def test_the_image_can_be_replaced(tmp_path: Path) -> None:
    path = tmp_path / "pinned.yaml"
    pinned = "example/loomline-python@sha256:" + "0" * 64
    hardware = load_hardware("cpu").model_copy(update={"image": pinned})
    compile_config(load_config("text"), path, hardware=hardware)
    images = re.findall(r"image: (.*)", path.read_text("utf-8"))
    assert len(images) == 10
    assert set(images) == {pinned}


def test_on_a_cluster_a_step_finds_the_champion_that_the_others_compare_with(
    spec: dict[str, Any],
) -> None:
    assert spec["root"]["inputDefinitions"]["parameters"]["champion"]["defaultValue"] == "auto"
    dags = [one["dag"]["tasks"] for one in spec["components"].values() if "dag" in one]
    [tasks] = [dag for dag in dags if "champion" in dag]
    assert "train" in tasks["champion"]["dependentTasks"]
    # A copy of what lies in an object store goes where the other steps see it.
    kept = tasks["champion"]["inputs"]["parameters"]["keep"]
    assert kept == {"runtimeValue": {"constant": "/loomline/champions"}}
    for step, names in {
        "evaluate": {"champion": "folder", "champion_digest": "digest"},
        "drift": {"champion": "folder", "champion_digest": "digest"},
        "gate": {"champion": "folder", "champion_digest": "digest"},
    }.items():
        for name, output in names.items():
            given = tasks[step]["inputs"]["parameters"][name]["taskOutputParameter"]
            assert given == {"producerTask": "champion", "outputParameterKey": output}
