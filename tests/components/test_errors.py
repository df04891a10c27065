"""A user's mistake ends a process in one line and exit code 2; a defect keeps its traceback."""

from pathlib import Path

import pytest

from components.errors import DataError, LoomlineError, WorkerLostError, one_line_errors


def test_a_user_error_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise DataError("expected text.\nReceived: nothing")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: expected text. Received: nothing\n"


def test_a_full_disk_is_one_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        Path("/dev/full").write_text("text")
    assert ended.value.code == 2
    assert "No space left on device" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), one_line_errors():
        _ = 1 / 0


def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    import components.errors as module

    drawn = module.__doc__ or ""
    classes = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, LoomlineError)
    ]
    assert len(classes) > 5
    for item in classes:
        assert f"{item.__name__} " in drawn or f"{item.__name__}\n" in drawn


def test_a_lost_worker_asks_to_be_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise WorkerLostError("expected every worker")
    assert ended.value.code == 75
    assert capsys.readouterr().err == "error: expected every worker\n"
