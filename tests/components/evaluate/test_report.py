"""The verdict says what the figures say."""

from __future__ import annotations

from components.artifacts import Figure
from components.evaluate.report import verdict


def figures(minus_xz: Figure, minus_5gram: Figure) -> dict[str, Figure]:
    return {
        "bits_per_byte": Figure(1.93, 1.9, 1.96),
        "yardsticks.xz": Figure(2.2),
        "yardsticks.byte_5gram": Figure(1.74),
        "bits_per_byte_minus_xz": minus_xz,
        "bits_per_byte_minus_5gram": minus_5gram,
    }


def test_better_and_worse_are_told_with_the_figures() -> None:
    found = verdict(figures(Figure(-0.27, -0.3, -0.2), Figure(0.19, 0.1, 0.2)))
    assert found == (
        "The model predicts unseen text better than xz (2.20), worse than a 5-gram (1.74): "
        "it spends 1.93 bits per byte (95%: 1.90 to 1.96), and fewer is better."
    )


def test_a_difference_whose_interval_holds_zero_is_not_claimed() -> None:
    found = verdict(figures(Figure(-0.01, -0.05, 0.03), Figure(0.19, 0.1, 0.2)))
    assert "about as well as xz (2.20), worse than a 5-gram" in found


def test_the_champion_is_named_where_there_is_one() -> None:
    known = figures(Figure(-0.27), Figure(0.19))
    known["bits_per_byte_minus_champion"] = Figure(-0.05, -0.06, -0.04)
    assert "better than xz (2.20) and the version now served" in verdict(known)
