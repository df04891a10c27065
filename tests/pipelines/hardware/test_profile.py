"""A profile of hardware is checked by name, and says what was wrong in one line."""

from pathlib import Path

import pytest

from components.errors import ConfigError
from components.image import IMAGE
from pipelines.hardware import available_hardware, load_hardware


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    return str(path)


def test_four_profiles_ship() -> None:
    assert available_hardware() == ["cpu", "gpu", "tpu", "workers"]
    assert load_hardware("cpu").accelerator is None
    images = [load_hardware(name).image for name in available_hardware()]
    assert images == [IMAGE, f"{IMAGE}-gpu", f"{IMAGE}-tpu", IMAGE]
    gpu, tpu = load_hardware("gpu").accelerator, load_hardware("tpu").accelerator
    assert gpu
    assert tpu
    assert (gpu.type, tpu.type) == ("nvidia.com/gpu", "google.com/tpu")


def test_spot_adds_labels_and_taints() -> None:
    asked, usual = load_hardware("gpu", spot=True), load_hardware("gpu")
    assert asked.all_node_selector == {"cloud.google.com/gke-spot": "true"}
    assert usual.all_node_selector == {}
    assert len(asked.all_tolerations) == len(usual.all_tolerations) + 1
    # An empty effect would be one that Kubernetes does not know.
    assert all(all(one.values()) for one in asked.all_tolerations)


def test_replicas_are_the_devices_of_all_workers(tmp_path: Path) -> None:
    assert load_hardware("gpu").replicas == 1
    both = "workers: {count: 4}\naccelerator: {type: nvidia.com/gpu, count: 2}"
    assert load_hardware(written(tmp_path, both)).replicas == 8


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    mine = load_hardware(written(tmp_path, "memory: 12Gi\nvolume: null\n"))
    assert mine.memory == "12Gi"
    assert mine.volume is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("memry: 8Gi", "unknown key memry. Accepted: image, model_steps, accelerator"),
        ("spot: {enable: true}", "unknown key spot.enable. Accepted: enabled, node_selector"),
        ("tolerations: [{kee: a}]", "unknown key tolerations.0.kee. Accepted: key, operator"),
        ("memory: 8 gigabytes", "memory: string should match pattern"),
        ("accelerator: {type: nvidia.com/gpu, count: 0}", "accelerator.count: input should be"),
        ("accelerator: {type: x, count: 1}\nmodel_steps: []", "expected model_steps for the acc"),
        ("model_steps: [trian]", "Received: 'trian'"),
        ("retries: {count: 99}", "retries.count: input should be less than or equal to 10"),
        ("retries: {factor: 1.5}", "retries.factor: input should be a valid integer"),
        ("volume: {claim: a, mount: data}", "volume.mount: string should match pattern"),
        ("workers: {count: 1}", "workers.count: input should be greater than or equal to 2"),
        ("workers: {count: 2, job: PyTorchJob}", "workers.job: input should be 'TrainJob' or"),
        ("workers: {number: 2}", "unknown key workers.number. Accepted: count, job, restarts"),
        ("workers: {count: 2}\nvolume: null", "expected volume beside workers"),
        ("- a list", "input should be a valid dictionary"),
        ("a: [", "expected a YAML file in UTF-8. Received: while parsing"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_hardware(written(tmp_path, text))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_profile_names_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"no hardware 'gqu': expected .* one of cpu, gpu, tpu, workers"
    ):
        load_hardware("gqu")


def test_spot_needs_to_know_the_nodes() -> None:
    with pytest.raises(ConfigError, match=r"cpu: --spot expects spot.node_selector there"):
        load_hardware("cpu", spot=True)
