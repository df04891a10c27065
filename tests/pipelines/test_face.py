"""What a person sees on the terminal."""

from __future__ import annotations

import pytest
from PIL import Image

from pipelines.face import PICTURE_WIDTH, Face


@pytest.mark.parametrize("width", [40, 80, 110, 200])
def test_pictures_are_whole_however_narrow_the_terminal(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    Face().pictures([Image.new("RGB", (32, 32), "red")] * 5, list("abcde"))

    shown = capsys.readouterr().out
    assert "…" not in shown
    assert shown.count("▀") == 5 * PICTURE_WIDTH * (PICTURE_WIDTH // 2)


def test_pictures_are_not_drawn_where_there_are_no_colours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Face().pictures([Image.new("RGB", (32, 32), "red")], ["a"])
    assert capsys.readouterr().out == ""
