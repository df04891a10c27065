"""What happens as version folders appear, break and vanish under a base path."""

from __future__ import annotations

import shutil
import threading
import time

import grpc
import pytest

TWO, THREE = "half_plus_two", "half_plus_three"
SEVERAL_POLLS = 2.5  # seconds, where the server looks at the base paths once a second


def _failed(calls, name, version):
    """The error status of a version that has ended with one, else None."""
    for one in calls.status(name).model_version_status:
        ended = type(one).State.Name(one.state) == "END"
        if one.version == version and ended and one.status.error_code:
            return one.status
    return None


def test_a_new_version_replaces_the_old_one(calls, registry, serve, until):
    """g3doc/serving_advanced.md: the manager moves to the new version when it is ready."""
    base_path = serve({1: TWO})
    registry.publish(THREE, base_path, 2)
    until(lambda: calls.states(base_path.name) == {2: "AVAILABLE", 1: "END"})
    assert calls.half(base_path.name) == (4.0, 2)


def test_an_unloaded_version_is_not_found(calls, registry, serve, until):
    """core/basic_manager.cc: only servables that are ready are in the serving map."""
    base_path = serve({1: TWO})
    registry.publish(THREE, base_path, 2)
    until(lambda: calls.states(base_path.name).get(1) == "END")
    refusal = calls.refusal(calls.half, base_path.name, version=1)
    assert refusal == (
        "NOT_FOUND",
        f"Servable not found for request: Specific({base_path.name}, 1)",
    )


def test_an_unloaded_version_ends_without_an_error(calls, registry, serve, until):
    """apis/get_model_status.proto: END, with the status of how it ended."""
    base_path = serve({1: TWO})
    registry.publish(THREE, base_path, 2)
    until(lambda: calls.states(base_path.name).get(1) == "END")
    status = calls.status(base_path.name, version=1).model_version_status[0].status
    assert (status.error_code, status.error_message) == (0, "")


def test_no_request_fails_while_versions_change(calls, registry, serve, until):
    """core/availability_preserving_policy.h: a version is unloaded once another one is ready."""
    base_path = serve({1: TWO})
    answers: list[tuple[float, int]] = []
    failures: list[grpc.RpcError] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(calls.half(base_path.name))
            except grpc.RpcError as error:
                failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    try:
        for version, export in ((2, THREE), (3, TWO)):
            registry.publish(export, base_path, version)
            until(lambda v=version: calls.states(base_path.name).get(v - 1) == "END")
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert set(answers) == {(3.0, 1), (4.0, 2), (3.0, 3)}


def test_deleting_the_newest_version_rolls_back(calls, registry, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: AspireLatestVersions."""
    base_path = serve({1: TWO, 2: THREE})
    assert calls.half(base_path.name) == (4.0, 2)
    shutil.rmtree(base_path / "2")
    until(lambda: calls.states(base_path.name) == {2: "END", 1: "AVAILABLE"})
    assert calls.half(base_path.name) == (3.0, 1)


def test_a_version_that_comes_back_is_loaded_again(calls, registry, serve, until):
    """core/aspired_versions_manager.cc: what is aspired and not managed is added."""
    base_path = serve({1: TWO, 2: THREE})
    shutil.rmtree(base_path / "2")
    until(lambda: calls.states(base_path.name).get(2) == "END")
    registry.publish(TWO, base_path, 2)
    until(lambda: calls.states(base_path.name).get(2) == "AVAILABLE")
    assert calls.half(base_path.name) == (3.0, 2)


def test_an_older_version_that_appears_is_left_alone(calls, registry, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: the largest number wins."""
    base_path = serve({5: TWO})
    registry.publish(THREE, base_path, 4)
    registry.publish(THREE, base_path, 6)
    until(lambda: calls.states(base_path.name) == {6: "AVAILABLE", 5: "END"})


def test_the_all_policy_follows_the_folders(calls, registry, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: AspireAllVersions."""
    base_path = serve({1: TWO}, model_version_policy={"all": {}})
    registry.publish(THREE, base_path, 2)
    until(lambda: calls.states(base_path.name) == {2: "AVAILABLE", 1: "AVAILABLE"})
    shutil.rmtree(base_path / "1")
    until(lambda: calls.states(base_path.name) == {2: "AVAILABLE", 1: "END"})


def test_folders_that_are_no_numbers_are_ignored(calls, registry, serve):
    """sources/storage_path/file_system_storage_path_source.cc: IndexChildrenByVersion."""
    versions = {"9x": THREE, "v3": THREE, "1.5": THREE, "latest": THREE, 2: TWO}
    name = serve(versions, model_version_policy={"all": {}}).name
    assert calls.states(name) == {2: "AVAILABLE"}


def test_a_padded_folder_name_is_its_number(calls, kinds):
    """servables/tensorflow/testdata/saved_model_half_plus_three/00000123, as in api_rest.md."""
    assert calls.states(kinds) == {123: "AVAILABLE"}


def test_a_folder_is_served_once_it_is_renamed_to_a_number(calls, registry, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: only numbers are versions."""
    base_path = serve({1: TWO})
    hidden = registry.publish(THREE, base_path, "tmp-2")
    registry.publish(TWO, base_path, 3)
    until(lambda: calls.states(base_path.name) == {3: "AVAILABLE", 1: "END"})
    hidden.rename(base_path / "4")
    until(lambda: calls.states(base_path.name).get(4) == "AVAILABLE")
    assert calls.half(base_path.name) == (4.0, 4)


@pytest.mark.image_only(
    reason="on purpose the embedded server waits for saved_model.pb: see test_embedded.py"
)
def test_an_empty_version_folder_fails_and_the_old_version_stays(calls, serve, until):
    """tensorflow/cc/saved_model/reader.cc: NOT_FOUND; core/availability_preserving_policy.cc."""
    base_path = serve({1: TWO})
    (base_path / "2").mkdir()
    status = until(lambda: _failed(calls, base_path.name, 2))
    assert status.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert "Could not find SavedModel .pb" in status.error_message
    assert calls.half(base_path.name) == (3.0, 1)


def test_a_corrupt_version_fails_and_the_old_version_stays(calls, registry, serve, until):
    """core/availability_preserving_policy.cc: unloads only when an aspired version is ready."""
    base_path = serve({1: TWO})
    registry.publish("corrupt", base_path, 2)
    status = until(lambda: _failed(calls, base_path.name, 2))
    assert status.error_message
    assert calls.half(base_path.name) == (3.0, 1)


def test_a_version_without_its_variables_fails_and_the_old_version_stays(
    calls, registry, serve, until
):
    """core/availability_preserving_policy.cc: unloads only when an aspired version is ready."""
    base_path = serve({1: TWO})
    registry.publish("without_variables", base_path, 2)
    assert until(lambda: _failed(calls, base_path.name, 2)).error_message
    assert calls.half(base_path.name) == (3.0, 1)


def test_a_good_version_follows_a_failed_one(calls, registry, serve, until):
    """core/aspired_versions_manager.cc: each aspired version is an action of its own."""
    base_path = serve({1: TWO})
    registry.publish("corrupt", base_path, 2)
    until(lambda: _failed(calls, base_path.name, 2))
    registry.publish(THREE, base_path, 3)
    until(lambda: calls.states(base_path.name).get(3) == "AVAILABLE")
    until(lambda: calls.states(base_path.name).get(1) == "END")
    assert calls.half(base_path.name) == (4.0, 3)


def test_one_model_that_fails_does_not_touch_another(calls, half, registry, serve, until):
    """core/aspired_versions_manager.cc: actions are chosen for each servable name."""
    base_path = serve({1: TWO})
    registry.publish("corrupt", base_path, 2)
    until(lambda: _failed(calls, base_path.name, 2))
    assert calls.half(half, version=2) == (4.0, 2)


def test_without_any_version_folder_the_model_is_unloaded(calls, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: an empty list is aspired."""
    base_path = serve({1: TWO})
    shutil.rmtree(base_path / "1")
    until(lambda: calls.states(base_path.name) == {1: "END"})
    assert calls.refusal(calls.half, base_path.name)[0] == "NOT_FOUND"


def test_without_its_base_path_the_model_stays(calls, registry, serve, until):
    """sources/storage_path/file_system_storage_path_source.cc: PollFileSystemForServable fails."""
    base_path = serve({1: TWO})
    moved = base_path.rename(base_path.with_name(f"{base_path.name}-moved"))
    try:
        time.sleep(SEVERAL_POLLS)
        assert calls.half(base_path.name) == (3.0, 1)
        registry.publish(THREE, moved, 2)
    finally:
        moved.rename(base_path)
    until(lambda: calls.states(base_path.name) == {2: "AVAILABLE", 1: "END"})
