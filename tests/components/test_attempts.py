"""A step that a user has to mend is not worked through again by a cluster that retries it."""

from pathlib import Path

import pytest

from components.errors import DataError, one_line_errors


@pytest.fixture
def attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Sets what a cluster says of an attempt."""
    monkeypatch.setenv("LOOMLINE_MISTAKES", str(tmp_path / "mistakes"))

    def on(name: str) -> None:
        monkeypatch.setenv("LOOMLINE_ATTEMPT", name)

    return on


def fails() -> None:
    with one_line_errors():
        raise DataError("expected text. Received: nothing")


def works(done: list[str]) -> None:
    with one_line_errors():
        done.append("the work")


def test_the_next_attempt_repeats_the_message_and_not_the_work(
    attempt, capsys: pytest.CaptureFixture[str]
) -> None:
    attempt("text-x7k.root.train.executor(0)")
    with pytest.raises(SystemExit):
        fails()
    done: list[str] = []
    attempt("text-x7k.root.train.executor(1)")
    with pytest.raises(SystemExit) as ended:
        works(done)
    assert ended.value.code == 2
    assert not done
    assert capsys.readouterr().err == "error: expected text. Received: nothing\n" * 2


def test_a_person_who_retries_the_run_gets_the_work(attempt) -> None:
    attempt("text-x7k.root.train.executor(0)")
    with pytest.raises(SystemExit):
        fails()
    done: list[str] = []
    works(done)
    attempt("text-x7k.root.train.executor(1)")
    works(done)
    assert len(done) == 2


@pytest.mark.parametrize(
    "other", ["text-x7k.root.evaluate.executor(1)", "text-abc.root.train.executor(1)"]
)
def test_another_step_or_run_is_not_affected(attempt, other: str) -> None:
    attempt("text-x7k.root.train.executor(0)")
    with pytest.raises(SystemExit):
        fails()
    done: list[str] = []
    attempt(other)
    works(done)
    assert done


def test_a_defect_is_tried_again(attempt) -> None:
    attempt("text-x7k.root.train.executor(0)")
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0
    done: list[str] = []
    attempt("text-x7k.root.train.executor(1)")
    works(done)
    assert done


def test_a_volume_that_cannot_be_written_hides_no_message(
    attempt, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mistakes").write_text("a file in the folder's place")
    attempt("text-x7k.root.train.executor(0)")
    with pytest.raises(SystemExit) as ended:
        fails()
    assert ended.value.code == 2
    assert "expected text" in capsys.readouterr().err
