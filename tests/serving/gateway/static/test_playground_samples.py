"""The playground for images and tables in a real browser, in front of real models."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def draw(page: Any, count: int = 3) -> None:
    page.select_option("#model", "image")
    page.select_option("#class", "Sneaker")
    page.evaluate(f"document.querySelector('#n').value = {count}")
    page.click("#sampling summary")
    page.fill("#seed", "7")
    page.click("#go")
    page.wait_for_selector(".answer .judge:not([hidden])")


def rows(page: Any, count: int = 6, condition: str = "AA") -> None:
    page.select_option("#model", "table")
    page.fill("#num_rows", str(count))
    page.click("#add-condition")
    page.keyboard.type("carrier")
    page.fill(".condition .value", condition)
    page.click("#go")
    page.wait_for_selector(".answer .judge:not([hidden])")


def test_images_are_drawn_from_the_models_own_choices(
    open_page: Any, gallery: Any, tmp_path: Path
) -> None:
    page = open_page(gallery.url)
    draw(page)
    options = page.locator("#class option").all_text_contents()
    assert options == ["any", "Bag", "Coat <b>", "Sneaker"]
    assert page.get_attribute("#parameter-guidance", "max") == "20"
    assert page.input_value("#parameter-guidance") == "2"
    assert page.input_value("#parameter-steps") == "50"
    assert page.is_hidden("#max_new_tokens")
    assert page.locator(".grid img").count() == 3
    assert page.evaluate(
        "[...document.querySelectorAll('.grid img')].every((each) => each.naturalWidth === 16)"
    )
    alts = [image.get_attribute("alt") for image in page.locator(".grid img").all()]
    assert alts == [f"Sneaker, seed {seed}" for seed in (7, 8, 9)]
    with page.expect_download() as started:
        page.click(".grid a >> nth=1")
    assert started.value.suggested_filename == "Sneaker-8.png"
    started.value.save_as(tmp_path / "one.png")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    page.click(".good")
    page.wait_for_selector(".judge > .said >> text=stored")
    newest = gallery.http.get("/v1/requests?limit=1").json()["requests"][0]
    assert newest["inputs"] == {
        "class": "Sneaker",
        "n": 3,
        "seed": 7,
        "parameters": {"guidance": 2, "steps": 50},
    }
    told = gallery.http.get(f"/v1/requests/{newest['request_id']}").json()["feedback"]
    assert [(one["kind"], one["value"]) for one in told] == [("thumbs", 1)]


def test_two_grids_are_compared(open_page: Any, gallery: Any) -> None:
    page = open_page(gallery.url)
    page.select_option("#model", "image")
    page.check("#compare")
    page.click("#go")
    page.click("#preference [data-value='1']")
    page.wait_for_selector("#preference .said >> text=stored")
    sources = [image.get_attribute("src") for image in page.locator(".grid img").all()]
    assert len(sources) == 8
    assert len(set(sources[:4]) & set(sources[4:])) == 0
    newest = gallery.http.get("/v1/requests?limit=2").json()["requests"]
    told = gallery.http.get(f"/v1/requests/{newest[0]['request_id']}").json()["feedback"]
    assert [(one["kind"], one["value"]) for one in told] == [("preference", 1)]


def test_a_model_that_tells_nothing_has_free_fields(open_page: Any, gallery: Any) -> None:
    page = open_page(gallery.url)
    page.select_option("#model", "plain")
    assert page.is_hidden("#class")
    page.fill("#class-text", "Coat <b>")
    page.click("#sampling summary")
    page.fill("#parameter-guidance", "9")
    page.click("#go")
    page.wait_for_selector(".grid figcaption >> nth=0")
    newest = gallery.http.get("/v1/requests?limit=1").json()["requests"][0]
    assert newest["inputs"]["parameters"] == {"guidance": 9}
    assert page.locator(".grid figcaption b").count() == 0
    page.fill("#parameter-guidance", "21")
    page.click("#go")
    page.wait_for_selector(".problem >> text=guidance must be from 0 to 20")


def test_rows_are_a_table_and_a_file(open_page: Any, gallery: Any, tmp_path: Path) -> None:
    page = open_page(gallery.url)
    rows(page, condition="UA, United")
    heads = page.locator(".result th").all_text_contents()
    assert heads == ["distance", "carrier", "dep_delay", "cancelled"]
    assert page.locator(".result tbody tr").count() == 6
    assert page.locator(".result td.missing").all_text_contents() == ["missing"]
    first = page.locator(".result tbody tr >> nth=1").locator("td").all_text_contents()
    assert first == [str(2**40 + 1), "UA, United", "0.125", "false"]
    with page.expect_download() as started:
        page.click(".result .save")
    started.value.save_as(tmp_path / "rows.csv")
    saved = list(csv.DictReader(io.StringIO((tmp_path / "rows.csv").read_text("utf-8"))))
    assert [row["carrier"] for row in saved] == ["UA, United"] * 6
    assert [row["dep_delay"] for row in saved][2:4] == ["0.25", ""]
    categories = page.evaluate(
        "[...document.querySelector('.condition .value').list.options].map((each) => each.value)"
    )
    assert categories == ["AA", "B6", "UA, United"]
    page.fill(".condition .column", "distance")
    page.click("#go")
    page.wait_for_selector(".problem >> text=conditions must name carrier")
    page.click(".condition button")
    page.click("#go")
    page.wait_for_selector(".answer .judge:not([hidden])")


def test_history_brings_model_choices_and_results_back(open_page: Any, gallery: Any) -> None:
    page = open_page(gallery.url)
    draw(page, 2)
    sources = [image.get_attribute("src") for image in page.locator(".grid img").all()]
    rows(page)
    titles = page.locator("#history strong").all_text_contents()
    assert titles == ["6 rows, carrier=AA", "Sneaker × 2"]
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.input_value("#model") == "table"
    assert page.input_value("#num_rows") == "6"
    assert page.input_value(".condition .value") == "AA"
    page.click("#history button >> nth=1")
    assert page.input_value("#model") == "image"
    assert page.input_value("#class") == "Sneaker"
    assert page.input_value("#n") == "2"
    assert [image.get_attribute("src") for image in page.locator(".grid img").all()] == sources
    page.click("#from-gateway")
    page.wait_for_selector("#live >> text=requests of the gateway")
    page.click("#history button >> nth=0")
    assert page.input_value("#model") == "table"
    assert page.input_value("#version") == "version:1"
    assert page.locator(".result tbody tr").count() == 6
    page.click("#history button >> nth=1")
    assert [image.get_attribute("src") for image in page.locator(".grid img").all()] == sources


def test_large_results_are_made_again_from_the_history(open_page: Any, gallery: Any) -> None:
    page = open_page(gallery.url)
    rows(page, 2000)
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    page.click("#history button")
    page.wait_for_selector(".problem >> text=too large to keep")
    page.click(".retry")
    page.wait_for_selector(".result tbody tr >> nth=1999")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("ask", [draw, rows])
def test_both_forms_can_be_read_and_fit_a_phone(
    open_page: Any, gallery: Any, readable: Any, scheme: str, ask: Any
) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = open_page(gallery.url, color_scheme=scheme, **phone)
    ask(page)
    readable(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
