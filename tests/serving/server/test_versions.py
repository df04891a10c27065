"""Which version goes and which comes, so that a model stays available."""

from __future__ import annotations

import grpc
import pytest

from serving.server.config import ModelConfig, VersionPolicy
from serving.server.errors import StatusError
from serving.server.versions import (
    State,
    Version,
    check_labels,
    did_not_become_available,
    outcome_known,
    to_load,
    to_unload,
)


def version(number: int, state: State, *, aspired: bool = True, **more: object) -> Version:
    return Version(number, f"/m/{number}", state=state, aspired=aspired, **more)  # type: ignore[arg-type]


def numbers(versions: list[Version]) -> list[int]:
    return [entry.number for entry in versions]


@pytest.mark.parametrize(
    ("new", "unloaded"),
    [(State.START, []), (State.LOADING, []), (State.END, []), (State.AVAILABLE, [1])],
)
def test_the_old_version_stays_until_the_new_one_answers(new: State, unloaded: list[int]) -> None:
    old = version(1, State.AVAILABLE, aspired=False)
    assert numbers(to_unload([old, version(2, new)])) == unloaded


def test_of_several_old_versions_the_newest_stays() -> None:
    old = [version(number, State.AVAILABLE, aspired=False) for number in (3, 1, 2)]
    assert numbers(to_unload([*old, version(4, State.LOADING)])) == [1, 2]


def test_all_go_where_none_is_wanted() -> None:
    old = [version(number, State.AVAILABLE, aspired=False) for number in (1, 2)]
    assert numbers(to_unload(old)) == [1, 2]
    assert to_unload([version(3, State.UNLOADING, aspired=False)]) == []


def test_the_newest_is_loaded_first_and_none_before_its_time() -> None:
    versions = [
        version(1, State.START),
        version(2, State.LOADING, next_attempt=10.0),
        version(3, State.START, busy=True),
        version(4, State.START),
        version(5, State.END),
        version(6, State.START, aspired=False),
    ]
    assert numbers(to_load(versions, now=9.0)) == [4, 1]
    assert numbers(to_load(versions, now=10.0)) == [4, 2, 1]


def test_an_outcome_is_known_once_one_answers_or_all_have_ended() -> None:
    assert not outcome_known([])
    assert not outcome_known([version(1, State.END), version(2, State.LOADING)])
    assert outcome_known([version(1, State.AVAILABLE), version(2, State.LOADING)])
    assert outcome_known([version(1, State.END)])


def test_models_that_failed_are_named_with_their_errors() -> None:
    error = StatusError(grpc.StatusCode.NOT_FOUND, "no such file")
    status = did_not_become_available({"a": [version(3, State.END, error=error)], "b": []})
    assert status.code == grpc.StatusCode.UNKNOWN
    assert status.message == (
        "1 model(s) did not become available: "
        "{{{name: a version: 3} due to error: NOT_FOUND: no such file}, }"
    )


@pytest.mark.parametrize(
    ("label", "number", "allow", "refused"),
    [
        ("new", 1, False, False),
        ("new", 2, False, True),
        ("new", 9, False, True),
        ("new", 9, True, False),
        ("stable", 1, True, False),
        # A label that is in use may not be moved to a version that does not answer.
        ("stable", 2, True, True),
        # Nor stay on one that is gone, unless that is allowed.
        ("gone", 9, False, True),
        ("gone", 9, True, False),
    ],
)
def test_a_label_names_a_version_that_answers(
    label: str, number: int, allow: bool, refused: bool
) -> None:
    model = ModelConfig("m", "/m", VersionPolicy(), {label: number})
    known = {"m": {1: version(1, State.AVAILABLE), 2: version(2, State.LOADING)}}

    def check() -> None:
        check_labels(
            [model],
            before={"m": {"stable": 1, "gone": 9}},
            versions=known,
            allow_unavailable=allow,
        )

    if not refused:
        check()
        return
    with pytest.raises(StatusError) as raised:
        check()
    assert raised.value.code == grpc.StatusCode.FAILED_PRECONDITION
    assert raised.value.message == (
        f"Request to assign label to version {number} of model m, "
        "which is not currently available for inference"
    )
