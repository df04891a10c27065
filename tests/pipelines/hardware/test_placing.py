"""A compiled pipeline says where its steps run, as the profile of hardware has it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.errors import ConfigError
from components.workers.options import Workers
from pipelines.compilation import compile_config
from pipelines.config import load_config
from pipelines.hardware import Hardware, available_hardware, load_hardware
from pipelines.hardware.profile import STEPS
from pipelines.training import ONCE

EVERY_STEP = {*STEPS, "champion", "summarize"}


class Compiled:
    """A compiled pipeline, taken apart."""

    def __init__(self, hardware: Hardware, folder: Path) -> None:
        path = folder / "pipeline.yaml"
        compile_config(load_config("text"), path, hardware=hardware)
        self.hardware = hardware
        self.spec, self.platform = yaml.safe_load_all(path.read_text("utf-8"))
        self.parameters: dict[str, Any] = self.spec["root"]["inputDefinitions"]["parameters"]

    def container(self, step: str) -> dict[str, Any]:
        found: dict[str, Any] = self.spec["deploymentSpec"]["executors"][f"exec-{step}"]
        return dict(found["container"])

    def pod(self, step: str) -> dict[str, Any]:
        executors = self.platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        return dict(executors[f"exec-{step}"])

    def default(self, placeholder: str) -> Any:
        """What a placeholder of a parameter resolves to, unless somebody changes it."""
        name = placeholder.split("pipelinechannel--")[-1].rstrip("']}")
        return self.parameters[name]["defaultValue"]

    def task(self, step: str) -> dict[str, Any]:
        dags = [self.spec["root"], *self.spec["components"].values()]
        tasks = [dag["dag"]["tasks"] for dag in dags if "dag" in dag]
        return next(dict(found[step]) for found in tasks if step in found)


@pytest.fixture(scope="module", params=available_hardware())
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled(load_hardware(request.param), tmp_path_factory.mktemp("compiled"))


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    return Compiled(load_hardware("gpu", spot=True), tmp_path_factory.mktemp("spot"))


def looks_on(step: str, hardware: Hardware) -> bool:
    """Whether workers do what the step would do."""
    return step == "train" and hardware.workers is not None


def test_every_step_runs_in_the_profiles_image(compiled: Compiled) -> None:
    assert {compiled.container(step)["image"] for step in EVERY_STEP} == {compiled.hardware.image}


def test_cores_and_memory_are_parameters(compiled: Compiled) -> None:
    hardware = compiled.hardware
    for step in EVERY_STEP:
        resources = compiled.container(step)["resources"]
        of_the_model = step in hardware.model_steps and not looks_on(step, hardware)
        cpu = hardware.cpu if of_the_model else hardware.data_cpu
        memory = hardware.memory if of_the_model else hardware.data_memory
        assert compiled.default(resources["resourceCpuLimit"]) == cpu
        assert compiled.default(resources["resourceCpuRequest"]) == cpu
        assert compiled.default(resources["resourceMemoryLimit"]) == memory
        assert compiled.default(resources["resourceMemoryRequest"]) == memory


def test_only_the_models_steps_have_the_accelerator_and_its_nodes(compiled: Compiled) -> None:
    hardware = compiled.hardware
    for step in EVERY_STEP:
        accelerator = compiled.container(step)["resources"].get("accelerator")
        pod = compiled.pod(step)
        if step not in hardware.model_steps or looks_on(step, hardware):
            assert accelerator is None
            assert "nodeSelector" not in pod
            assert "tolerations" not in pod
            continue
        chosen = pod["nodeSelector"]["nodeSelectorJson"]["componentInputParameter"]
        tolerated = pod["tolerations"][0]["tolerationJson"]["componentInputParameter"]
        assert compiled.default(chosen) == hardware.node_selector
        assert compiled.default(tolerated) == hardware.all_tolerations
        if hardware.accelerator is None:
            assert accelerator is None
            continue
        assert compiled.default(accelerator["resourceType"]) == hardware.accelerator.type
        assert compiled.default(accelerator["resourceCount"]) == str(hardware.accelerator.count)


def test_spot_nodes_are_asked_for(spot: Compiled) -> None:
    assert spot.parameters["hardware_node_selector"]["defaultValue"] == {
        "cloud.google.com/gke-spot": "true"
    }
    keys = [one["key"] for one in spot.parameters["hardware_tolerations"]["defaultValue"]]
    assert keys == ["nvidia.com/gpu", "cloud.google.com/gke-spot"]


def test_steps_are_retried_with_growing_waits_but_for_those_that_act(compiled: Compiled) -> None:
    for step in EVERY_STEP:
        policy = compiled.task(step).get("retryPolicy")
        if step in ONCE:
            assert policy is None
        else:
            window = policy.pop("backoffMaxDuration")
            assert policy == {
                "maxRetryCount": 2,
                "backoffDuration": "60s",
                "backoffFactor": 2.0,
            }
            # Argo ends retried pods by it, counted from the first attempt.
            timeout = int(compiled.pod(step)["activeDeadlineSeconds"])
            assert int(window.removesuffix("s")) > 3 * timeout + 60 + 120


def test_every_step_ends_in_time(compiled: Compiled) -> None:
    minutes = compiled.hardware.timeout_minutes
    for step in EVERY_STEP:
        expected = minutes.train if step == "train" else minutes.others
        assert compiled.pod(step)["activeDeadlineSeconds"] == str(60 * expected)


def test_every_step_sees_the_volume_and_knows_its_attempt(compiled: Compiled) -> None:
    for step in EVERY_STEP:
        pod = compiled.pod(step)
        [mount] = pod["pvcMount"]
        assert mount["mountPath"] == "/loomline"
        assert compiled.default(mount["pvcNameParameter"]["componentInputParameter"]) == "loomline"
        [field] = pod["fieldPathAsEnv"]
        assert field["name"] == "LOOMLINE_ATTEMPT"
        assert {"name": "LOOMLINE_MISTAKES", "value": "/loomline/mistakes"} in compiled.container(
            step
        )["env"]
    assert compiled.parameters["checkpoints"]["defaultValue"] == "/loomline/checkpoints"
    assert compiled.parameters["push_base_path"]["defaultValue"] == "/loomline/models"


def test_shared_memory_and_scratch_are_mounted(compiled: Compiled) -> None:
    for step in EVERY_STEP:
        mounts = {one["mountPath"]: one for one in compiled.pod(step).get("emptyDirMounts", [])}
        assert mounts["/tmp"]["sizeLimit"] == compiled.hardware.scratch
        of_the_model = step in compiled.hardware.model_steps
        wanted = compiled.hardware.shared_memory if of_the_model else ""
        assert mounts.get("/dev/shm", {}).get("sizeLimit", "") == wanted


def test_secrets_come_by_name_to_the_steps_that_need_them(compiled: Compiled) -> None:
    for step in EVERY_STEP:
        pod = compiled.pod(step)
        assert ("secretAsEnv" in pod) == (step in ("summarize", "ingest", "champion", "push"))
        assert pod["configMapAsEnv"][0]["optional"] is True
        keys = {one["envVar"] for one in pod["configMapAsEnv"][0]["keyToEnv"]}
        assert keys == {"HTTPS_PROXY", "NO_PROXY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"}
    for step in ("ingest", "champion", "push"):
        [secret] = compiled.pod(step)["secretAsEnv"]
        assert secret["optional"] is True
        variables = {one["envVar"] for one in secret["keyToEnv"]}
        assert variables == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    [secret] = compiled.pod("summarize")["secretAsEnv"]
    assert secret["optional"] is True
    assert {one["envVar"] for one in secret["keyToEnv"]} == {
        "LOOMLINE_WEBHOOK_URL",
        "LOOMLINE_SMTP_URL",
    }
    assert compiled.default(secret["secretNameParameter"]["componentInputParameter"]) == "loomline"


def test_without_a_volume_nothing_is_mounted(tmp_path: Path) -> None:
    bare = Compiled(load_hardware("cpu").model_copy(update={"volume": None}), tmp_path)
    assert "pvcMount" not in bare.pod("train")
    assert "cluster_volume" not in bare.parameters
    assert bare.parameters["push_base_path"]["defaultValue"] == ""
    # Then each step fetches the version that it compares with by itself.
    for step in ("evaluate", "drift", "gate"):
        [secret] = bare.pod(step)["secretAsEnv"]
        assert "AWS_ACCESS_KEY_ID" in {one["envVar"] for one in secret["keyToEnv"]}


def test_workers_get_what_the_profile_says_and_their_step_only_looks_on(tmp_path: Path) -> None:
    gpu = load_hardware("gpu", spot=True)
    many = Hardware.model_validate({**gpu.model_dump(), "workers": {"count": 2, "job": "TFJob"}})
    compiled = Compiled(many, tmp_path)
    told = compiled.parameters["hardware_workers"]
    assert told["parameterType"] == "STRUCT"
    assert told["description"]
    # As Kubeflow hands a struct on: every number is a fraction.
    workers = Workers.model_validate(json.loads(json.dumps(told["defaultValue"])))
    assert (workers.count, workers.job) == (2, "TFJob")
    assert (workers.accelerator_type, workers.accelerator_count) == ("nvidia.com/gpu", 1)
    assert (workers.cpu, workers.memory, workers.image) == (gpu.cpu, gpu.memory, gpu.image)
    assert workers.node_selector == gpu.all_node_selector
    assert workers.tolerations == gpu.all_tolerations
    assert (workers.shared_memory, workers.scratch) == (gpu.shared_memory, gpu.scratch)
    assert (workers.claim, workers.mount) == ("loomline", "/loomline")
    assert workers.deadline_minutes == gpu.timeout_minutes.train
    given = compiled.task("train")["inputs"]["parameters"]["workers"]
    assert compiled.default(given["componentInputParameter"]) == told["defaultValue"]
    assert compiled.parameters["train_distribution"]["defaultValue"] == "multi_worker"
    assert "accelerator" not in compiled.container("train")["resources"]
    assert "accelerator" in compiled.container("evaluate")["resources"]


@pytest.mark.parametrize(
    ("config", "hardware", "overrides", "told"),
    [
        ("text", "workers", ["train.batch_size=6"], "a multiple of the 4 devices that share it"),
        ("text", "workers", ["train.distribution=mirrored"], "expected multi_worker where the pro"),
        ("text", "cpu", ["train.distribution=multi_worker"], "a profile of hardware with workers"),
        ("image", "workers", [], "train text only. Received: image"),
        ("table", "workers", [], "train text only. Received: table"),
    ],
)
def test_a_configuration_that_does_not_fit_the_hardware_is_refused_at_once(
    config: str, hardware: str, overrides: list[str], told: str, tmp_path: Path
) -> None:
    loaded = load_config(config, overrides=overrides)
    with pytest.raises(ConfigError, match=told):
        compile_config(loaded, tmp_path / "p.yaml", hardware=load_hardware(hardware))


def test_monitoring_is_not_told_of_workers(tmp_path: Path) -> None:
    path = tmp_path / "monitoring.yaml"
    many = load_hardware("workers")
    package = compile_config(load_config("text"), path, pipeline="monitoring", hardware=many)
    assert "hardware_workers" not in package.parameters
    # What it starts is: the profile is handed on whole.
    assert "workers" in json.dumps(package.parameters)
