"""The review page in a real browser: look, compare blind, decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serving.review.signing import predicate_of

pytestmark = pytest.mark.slow

EVIL = "<img src=x onerror=\"document.title='broken into'\">"


def samples(texts: list[str]) -> str:
    rows = [{"prompt": f"prompt {n}", "text": text, "seed": n} for n, text in enumerate(texts)]
    return json.dumps({"samples": rows})


@pytest.fixture
def waiting(
    candidate: Callable[..., Any],
    person: Callable[[str], Any],
    start_gateway: Callable[..., Any],
    tmp_path: Path,
) -> Any:
    """A gateway with one candidate, whose texts would break into a careless page."""
    ada = person("Ada")
    html = f"<p>the evaluation</p><script>parent.document.title='broken into'</script>{EVIL}"
    texts = samples(["mine one", EVIL, "mine three"])
    comparison = {"moved": True, "told": f"It moved {EVIL}", "suggestions": [f"Train {EVIL}"]}
    drift = json.dumps({"comparisons": {"data": comparison}})
    files = {"samples.json": texts, "evaluation.html": html, "drift.json": drift}
    candidate(champion=3, **files)
    champion = tmp_path / "models" / "text" / "3" / "loomline"
    champion.mkdir(parents=True)
    (champion / "samples.json").write_text(samples(["theirs one", "theirs two", "theirs three"]))
    flags = [f"--review-models={tmp_path / 'models'}", f"--review-key={ada.key_path}"]
    return start_gateway("127.0.0.1:1", *flags)


def opened(open_page: Any, gateway: Any, **options: Any) -> Any:
    page = open_page(gateway.url, "/review", "#candidates button", **options)
    page.click("#candidates button")
    page.wait_for_selector("#rules tbody tr")
    return page


def record(tmp_path: Path) -> Path:
    return (
        tmp_path / "models" / "text" / ".pending" / "20261123-120000" / "loomline" / "approval.json"
    )


def test_a_reviewer_looks_compares_blind_and_approves(
    open_page: Any, waiting: Any, tmp_path: Path
) -> None:
    page = opened(open_page, waiting)
    assert page.inner_text("#reason") == "approved: all 3 rules pass"
    assert page.inner_text("#rules tbody td >> nth=3") == "<b>"
    # What changed, and what to do about it, before all else; as text and nothing more.
    assert page.inner_text("#changes p") == f"It moved {EVIL}"
    assert page.inner_text("#changes li") == f"Train {EVIL}"
    page.click("#reports button")
    page.wait_for_selector("#reports iframe:not([hidden])")
    assert page.frame_locator("#reports iframe").locator("p").first.inner_text() == "the evaluation"
    page.click("#blind")
    for _ in range(3):
        page.wait_for_selector(".pair.blind")
        cards = page.locator(".pair.blind .sample")
        mine = "mine" in cards.nth(0).inner_text() or "<img" in cards.nth(0).inner_text()
        cards.nth(0 if mine else 1).locator("button").click()
    told = "Blind comparison of 3: the candidate was better in 3, version 3 in 0, alike in 0."
    assert page.inner_text("#tally") == told
    assert page.input_value("#comment") == told
    page.click("#approve")
    page.wait_for_selector("#decided:has-text('approved by Ada')")
    assert page.is_hidden("#verdict")
    said = predicate_of(record(tmp_path).read_text())
    assert (said["verdict"], said["comment"]) == ("approved", told)
    assert page.title() == "Loomline review"


def test_a_reviewer_reads_validation_and_trend_of_the_run(
    open_page: Any, candidate: Callable[..., Any], start_gateway: Callable[..., Any], tmp_path: Path
) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for name in ("trend", "validation"):
        (records / f"{name}.html").write_text(
            f"<title>{name}</title><p>the {name} of the run</p><h1 id=top>top</h1>"
            "<a href=beside.html>beside</a> <a href='#top'>up</a> <a href=https://a.test/>away</a>"
        )
    candidate(records=records, **{"evaluation.html": "<p>the evaluation</p>"})
    gateway = start_gateway("127.0.0.1:1", f"--review-models={tmp_path / 'models'}")
    page = opened(open_page, gateway)
    names = page.locator("#reports button").all_inner_texts()
    assert names == ["evaluation", "trend", "validation"]
    for name in ("trend", "validation"):
        page.click(f"#reports button:text-is('{name}')")
        text = page.frame_locator("#reports iframe").locator(f"p:has-text('{name}')")
        text.wait_for()
        assert text.inner_text() == f"the {name} of the run"
        # What lies beside a report on disk cannot be opened from here.
        links = page.frame_locator("#reports iframe").locator("a").all_inner_texts()
        assert links == ["up", "away"]
    assert "all reports but trend and validation" in page.inner_text("#reports")
    assert page.is_hidden("#changed")


def test_a_reviewer_rejects_with_a_comment(open_page: Any, waiting: Any, tmp_path: Path) -> None:
    page = opened(open_page, waiting)
    page.fill("#comment", "repeats itself")
    page.click("#reject")
    page.wait_for_selector("#decided:has-text('rejected by Ada')")
    said = predicate_of(record(tmp_path).read_text())
    assert (said["verdict"], said["comment"]) == ("rejected", "repeats itself")


DOT = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


@pytest.mark.parametrize(
    ("rows", "expected", "seen"),
    [
        # Of a class as many as both have; what is left stays alone.
        (
            [{"label": name, "image": DOT, "seed": 1} for name in ("Bag", "Bag", "Coat")],
            3,
            "Bag",
        ),
        # Rows are compared eight at a time.
        ([{f"column_{n}": row * n or None for n in range(9)} for row in range(20)], 3, "missing"),
    ],
)
def test_images_and_rows_stand_beside_the_champions_and_are_compared_blind(
    open_page: Any,
    candidate: Callable[..., Any],
    start_gateway: Callable[..., Any],
    tmp_path: Path,
    rows: list[dict[str, Any]],
    expected: int,
    seen: str,
) -> None:
    candidate(champion=3, **{"samples.json": json.dumps({"samples": rows})})
    champion = tmp_path / "models" / "text" / "3" / "loomline"
    champion.mkdir(parents=True)
    (champion / "samples.json").write_text(json.dumps({"samples": rows[::-1]}))
    gateway = start_gateway("127.0.0.1:1", f"--review-models={tmp_path / 'models'}")
    page = opened(open_page, gateway, viewport={"width": 360, "height": 740})
    # Whoever has seen whose they are cannot compare them blind.
    assert page.locator(".sample").count() == 0
    page.click("#blind")
    for _ in range(expected):
        page.wait_for_selector(".pair.blind")
        # Nothing tells whose it is, and the keyboard stays with the buttons.
        assert page.locator(".pair.blind .side").all_inner_texts() == ["A", "B"]
        assert page.evaluate("document.activeElement.textContent") == "A is better"
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.click("text=Alike")
    assert f"alike in {expected}" in page.inner_text("#tally")
    assert page.locator(".pair").count() == expected
    sides = page.locator(".pair >> nth=0 >> .side").all_inner_texts()
    assert sides == ["candidate", "version 3"]
    assert seen in page.inner_text(".pair >> nth=0")
    page.click("#candidates button")
    page.click("#beside")
    assert page.locator(".pair").count() == expected
    assert page.is_hidden("#blind")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_can_be_read_on_a_phone(
    open_page: Any, waiting: Any, readable: Callable[[Any], None], scheme: str
) -> None:
    page = opened(open_page, waiting, viewport={"width": 360, "height": 740}, color_scheme=scheme)
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    readable(page)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360


def test_evidence_that_changed_meanwhile_is_told(
    open_page: Any, waiting: Any, tmp_path: Path
) -> None:
    page = opened(open_page, waiting)
    (record(tmp_path).parent / "evaluation.json").write_text('{"better": 1}')
    page.click("#approve")
    page.wait_for_selector("#notice:has-text('as the run left it')")
    assert page.is_visible("#verdict")
    assert not record(tmp_path).exists()


def test_where_nothing_waits_the_page_says_so(
    open_page: Any, start_gateway: Callable[..., Any], tmp_path: Path
) -> None:
    gateway = start_gateway("127.0.0.1:1", f"--review-models={tmp_path}")
    page = open_page(gateway.url, "/review", "#empty:not([hidden])")
    assert page.is_visible("#empty")
