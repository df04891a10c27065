"""ModelService.HandleReloadConfigRequest: models, policies, labels, and what is refused."""

from __future__ import annotations

import pytest

THREE: dict[int | str, str] = {1: "half_plus_two", 2: "half_plus_three", 3: "half_plus_two"}
SPECIFIC_1_2 = {"specific": {"versions": [1, 2]}}


def test_a_new_model_answers_as_soon_as_the_call_returns(calls, serve):
    """model_servers/server_core.cc: WaitUntilModelsAvailable for the new models."""
    name = serve({1: "half_plus_two"}).name
    assert calls.half(name) == (3.0, 1)


def test_the_reply_has_an_ok_status(registry, half):
    """model_servers/model_service_impl.cc: the reply's StatusProto."""
    status = registry.send(registry.others()).status
    assert (status.error_code, status.error_message) == (0, "")


def test_a_model_left_out_is_unloaded(calls, registry, serve, until):
    """g3doc/serving_config.md: 'the content of the new specified config and only' it."""
    name = serve({1: "half_plus_two"}).name
    registry.drop(name)
    until(lambda: calls.states(name) == {1: "END"})
    refusal = calls.refusal(calls.half, name)
    assert refusal == ("NOT_FOUND", f"Servable not found for request: Latest({name})")


def test_a_model_left_out_can_come_back(calls, registry, serve, until):
    """model_servers/server_core.cc: the fresh monitor of AddModelsViaModelConfigList."""
    base_path = serve({1: "half_plus_two"})
    registry.drop(base_path.name)
    until(lambda: calls.states(base_path.name) == {1: "END"})
    registry.put(registry.config(base_path))
    assert calls.half(base_path.name) == (3.0, 1)


def test_other_models_go_on_while_one_is_added(calls, half, serve):
    """model_servers/server_core.cc: only deleted servables are un-aspired."""
    serve({1: "half_plus_three"})
    assert calls.states(half) == {2: "AVAILABLE", 1: "AVAILABLE"}


def test_the_deprecated_model_type_still_means_tensorflow(calls, serve):
    """model_servers/server_core.cc: GetPlatform."""
    name = serve({1: "half_plus_two"}, model_platform="", model_type="TENSORFLOW").name
    assert calls.half(name) == (3.0, 1)


def test_by_default_only_the_latest_version_is_served(calls, serve):
    """sources/storage_path/file_system_storage_path_source.proto: Latest, num_versions 1."""
    assert calls.states(serve(THREE).name) == {3: "AVAILABLE"}


def test_the_latest_policy_keeps_as_many_as_it_says(calls, serve, until):
    """sources/storage_path/file_system_storage_path_source.proto: Latest.num_versions."""
    name = serve(THREE, model_version_policy={"latest": {"num_versions": 2}}).name
    until(lambda: calls.states(name) == {3: "AVAILABLE", 2: "AVAILABLE"})


def test_the_all_policy_serves_every_version(calls, serve, until):
    """sources/storage_path/file_system_storage_path_source.proto: All."""
    name = serve(THREE, model_version_policy={"all": {}}).name
    until(lambda: calls.states(name) == dict.fromkeys((3, 2, 1), "AVAILABLE"))


def test_the_specific_policy_serves_what_it_lists(calls, serve, until):
    """g3doc/serving_config.md, 'Serving a Specific Version of a Model'."""
    name = serve(THREE, model_version_policy=SPECIFIC_1_2).name
    until(lambda: calls.states(name) == {2: "AVAILABLE", 1: "AVAILABLE"})
    assert calls.half(name) == (4.0, 2)


def test_the_specific_policy_serves_those_that_exist(calls, serve):
    """sources/storage_path/file_system_storage_path_source.cc: AspireSpecificVersions warns."""
    name = serve(THREE, model_version_policy={"specific": {"versions": [1, 77]}}).name
    assert calls.states(name) == {1: "AVAILABLE"}


def test_a_changed_policy_rolls_back_to_an_older_version(calls, registry, serve, until):
    """g3doc/serving_config.md: 'useful for rolling back to a know good version'."""
    base_path = serve(THREE)
    one = {"specific": {"versions": [1]}}
    registry.put(registry.config(base_path, model_version_policy=one))
    until(lambda: calls.states(base_path.name) == {3: "END", 1: "AVAILABLE"})
    assert calls.half(base_path.name) == (3.0, 1)


def test_a_label_moves_with_the_next_config(calls, registry, serve, until):
    """g3doc/serving_config.md: 'move forward the label on the server'."""
    base_path = serve(THREE, model_version_policy=SPECIFIC_1_2)
    name = base_path.name
    until(lambda: list(calls.states(name).values()) == ["AVAILABLE", "AVAILABLE"])
    for version, expected in ((1, 3.0), (2, 4.0), (1, 3.0)):
        fields = {"model_version_policy": SPECIFIC_1_2, "version_labels": {"stable": version}}
        registry.put(registry.config(base_path, **fields))
        assert calls.half(name, label="stable") == (expected, version)


def test_a_label_left_out_is_forgotten(calls, registry, serve):
    """model_servers/server_core.cc: UpdateModelVersionLabelMap swaps the whole map."""
    base_path = serve({1: "half_plus_two"})
    registry.put(registry.config(base_path, version_labels={"stable": 1}))
    assert calls.half(base_path.name, label="stable") == (3.0, 1)
    registry.put(registry.config(base_path))
    assert calls.refusal(calls.half, base_path.name, label="stable") == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    )


def test_a_label_belongs_to_its_model_alone(calls, half, serve):
    """model_servers/server_core.cc: GetModelVersionForLabel looks under the model's name."""
    name = serve({1: "half_plus_two"}).name
    assert calls.refusal(calls.half, name, label="stable") == (
        "INVALID_ARGUMENT",
        "Unrecognized servable version label: stable",
    )


def test_a_label_on_a_version_that_is_not_available_is_refused(calls, registry, serve):
    """model_servers/server_core.cc: UpdateModelVersionLabelMap."""
    base_path = serve({1: "half_plus_two"})
    wanted = registry.config(base_path, version_labels={"stable": 9})
    assert calls.refusal(registry.put, wanted) == (
        "FAILED_PRECONDITION",
        f"Request to assign label to version 9 of model {base_path.name}, "
        "which is not currently available for inference",
    )


def test_a_refused_label_leaves_the_old_labels(calls, registry, serve):
    """model_servers/server_core.cc: the map is swapped only after every check."""
    base_path = serve({1: "half_plus_two"})
    registry.put(registry.config(base_path, version_labels={"stable": 1}))
    wanted = registry.config(base_path, version_labels={"stable": 9, "canary": 1})
    assert calls.refusal(registry.put, wanted)[0] == "FAILED_PRECONDITION"
    assert calls.half(base_path.name, label="stable") == (3.0, 1)
    assert calls.refusal(calls.half, base_path.name, label="canary")[0] == "INVALID_ARGUMENT"


def test_a_new_model_cannot_bring_its_labels_along(calls, registry, half):
    """g3doc/serving_config.md: labels only for versions 'already loaded and available'."""
    base_path = registry.base_path()
    registry.publish("half_plus_two", base_path, 1)
    wanted = registry.config(base_path, version_labels={"stable": 1})
    assert calls.refusal(registry.put, wanted)[0] == "FAILED_PRECONDITION"
    assert calls.states(base_path.name) == {}


def test_a_refused_config_leaves_the_old_models(calls, registry, half):
    """model_servers/server_core.cc: the checks come before the source's config changes."""
    missing_all_the_others = registry.config(registry.base_path(), version_labels={"any": 1})
    assert calls.refusal(registry.send, [missing_all_the_others])[0] == "FAILED_PRECONDITION"
    assert calls.half(half, version=1) == (3.0, 1)
    registry.send(registry.others())
    assert calls.half(half, label="stable") == (3.0, 1)


def test_a_request_without_a_model_list_is_refused(calls, half):
    """model_servers/model_service_impl.cc: HandleReloadConfigRequest."""
    from tensorflow_serving.apis import model_management_pb2

    nothing = model_management_pb2.ReloadConfigRequest()
    assert calls.refusal(calls.models.HandleReloadConfigRequest, nothing, timeout=60) == (
        "INVALID_ARGUMENT",
        "ServerModelConfig type not supported by HandleReloadConfigRequest. "
        "Only ModelConfigList is currently supported",
    )
    assert calls.half(half, version=1) == (3.0, 1)


def test_a_model_listed_twice_is_refused(calls, registry, half):
    """model_servers/server_core.cc: ValidateModelConfigList."""
    twice = [registry.config(registry.base_path(), name="twin") for _ in range(2)]
    assert calls.refusal(registry.send, [*registry.others(), *twice]) == (
        "INVALID_ARGUMENT",
        "Illegal to list model twin multiple times in config list",
    )
    assert calls.half(half, version=1) == (3.0, 1)


def test_a_relative_base_path_is_refused(calls, registry, half):
    """model_servers/server_core.cc: ValidateModelConfigList."""
    relative = registry.config(registry.base_path(), name="lost")
    relative.base_path = "somewhere/lost"
    assert calls.refusal(registry.put, relative) == (
        "INVALID_ARGUMENT",
        "Expected model lost to have an absolute path or URI; got base_path()=somewhere/lost",
    )


def test_an_unsupported_platform_is_refused(calls, registry, half):
    """model_servers/server_core.cc: CreateStoragePathRoutes."""
    wanted = registry.config(registry.base_path(), name="coffee", model_platform="caffe")
    assert calls.refusal(registry.put, wanted) == (
        "INVALID_ARGUMENT",
        "Model coffee requests unsupported platform caffe",
    )
    registry.send(registry.others())
    assert calls.half(half, version=1) == (3.0, 1)


def test_a_model_cannot_change_its_platform(calls, registry, serve):
    """model_servers/server_core.cc: ValidateNoModelsChangePlatforms."""
    base_path = serve({1: "half_plus_two"})
    name = base_path.name
    assert calls.refusal(registry.put, registry.config(base_path, model_platform="caffe")) == (
        "INVALID_ARGUMENT",
        f"Illegal to change a model's platform. For model {name} platform was tensorflow "
        "and new platform requested is caffe",
    )
    assert calls.half(name) == (3.0, 1)


def test_a_config_with_a_model_that_does_not_load_says_which(calls, registry, half, until):
    """model_servers/server_core.cc: WaitUntilModelsAvailable."""
    base_path = registry.base_path()
    registry.publish("corrupt", base_path, 1)
    try:
        code, text = calls.refusal(registry.put, registry.config(base_path))
        assert code == "UNKNOWN"
        name = f"{{name: {base_path.name} version: 1}}"
        assert text.startswith(f"1 model(s) did not become available: {{{{{name} due to error: ")
        assert calls.states(base_path.name) == {1: "END"}
        assert calls.half(half, version=1) == (3.0, 1)
    finally:
        registry.send(registry.others())


@pytest.mark.embedded_only(
    reason="TensorFlow Serving keeps the refused config, and then refuses every later one too"
)
def test_a_model_without_a_platform_is_refused_and_the_next_config_is_not(calls, registry, half):
    """model_servers/server_core.cc: GetPlatform has the words."""
    wanted = registry.config(registry.base_path(), name="plain", model_platform="")
    assert calls.refusal(registry.put, wanted) == (
        "INVALID_ARGUMENT",
        "Illegal setting neither ModelServerConfig::model_type (deprecated) "
        "nor ModelServerConfig::model_platform.",
    )
    registry.send(registry.others())
    assert calls.half(half, version=1) == (3.0, 1)
