"""The playground in a real browser, in front of a real gateway and model server."""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SCRIPT = "<script>window.broken = true</script><img src=x onerror='window.broken = true'>"


def ask(page: Any, prompt: str) -> None:
    page.fill("#prompt", prompt)
    page.evaluate("document.querySelector('#max_new_tokens').value = 400")
    page.click("#go")
    page.wait_for_selector(".judge:not([hidden])")


def feedback_of(gateway: Any) -> list[dict[str, Any]]:
    """What the store holds about the first answer's request, newest request first."""
    newest = gateway.http.get("/v1/requests?limit=2").json()["requests"]
    told = []
    for request in newest:
        found = gateway.http.get(f"/v1/requests/{request['request_id']}").json()
        told += found["feedback"]
    return told


def test_a_text_appears_in_pieces_and_tells_where_it_comes_from(open_page: Any) -> None:
    page = open_page()
    page.evaluate(
        """() => {
          window.seen = [];
          const answers = document.querySelector("#answers");
          new MutationObserver(() => {
            const written = answers.querySelector(".written")?.textContent ?? "";
            if (written && written !== window.seen.at(-1)) window.seen.push(written);
          }).observe(answers, { subtree: true, childList: true, characterData: true });
        }"""
    )
    page.click("#sampling summary")
    page.fill("#seed", "7")
    ask(page, "The Congress, é€")
    seen = page.evaluate("window.seen")
    assert len(seen) > 1
    assert all(whole.startswith(part) for part, whole in itertools.pairwise(seen))
    assert seen[-1] == "first|7|The Congress, é€"
    assert page.text_content(".asked") == "The Congress, é€"
    assert "version 3 · seed 7" in page.text_content(".meta")
    assert re.search(r"\d+ tokens", page.text_content(".stats"))
    assert page.text_content("#live").startswith("Finished")


def test_two_answers_are_compared_and_the_preference_is_stored(
    open_page: Any, gateway: Any
) -> None:
    page = open_page()
    page.check("#compare")
    page.fill("#prompt", "compare")
    page.click("#go")
    page.click("#preference [data-value='-1']")
    page.wait_for_selector("#preference .said >> text=stored")
    assert page.locator(".answer").count() == 2
    texts = page.locator(".written").all_text_contents()
    assert texts[0] != texts[1]
    assert {one["value"] for one in feedback_of(gateway)} == {-1}
    pressed = page.locator("#preference [aria-pressed=true]").all_text_contents()
    assert pressed == ["B"]


def test_every_kind_of_feedback_is_stored(open_page: Any, gateway: Any) -> None:
    page = open_page()
    ask(page, "judge me")
    stored = ".judge > .said >> text=stored"

    def done() -> None:
        page.wait_for_selector(stored)
        page.evaluate("document.querySelector('.judge > .said').textContent = ''")

    page.click(".good")
    done()
    page.locator(".stars input").nth(3).check(force=True)
    done()
    page.click(".comment summary")
    page.fill(".comment textarea", SCRIPT)
    page.click(".comment button")
    done()
    page.click(".edit summary")
    assert page.input_value(".edit textarea").endswith("judge me")
    page.fill(".edit textarea", "better")
    page.click(".edit button")
    done()
    found = feedback_of(gateway)[:4]
    told = {one["kind"]: one["value"] or one["text"] for one in found}
    assert told == {"thumbs": 1, "rating": 4, "comment": SCRIPT, "edit": "better"}
    assert page.get_attribute(".good", "aria-pressed") == "true"
    assert page.evaluate("window.broken") is None


def test_scripts_in_prompts_answers_and_history_are_text(open_page: Any) -> None:
    page = open_page()
    ask(page, SCRIPT)
    assert SCRIPT in page.text_content(".written")
    assert page.text_content("#history strong") == SCRIPT
    page.reload()
    page.wait_for_selector("#history strong")
    page.click("#history button")
    assert page.text_content(".asked") == SCRIPT
    assert page.evaluate("window.broken") is None
    assert page.locator("#answers script, #answers .text img, #history img").count() == 0


def test_history_brings_the_version_back_too(open_page: Any) -> None:
    page = open_page()
    page.select_option("#version", "version:3")
    page.check("#compare")
    ask(page, "of version 3")
    page.wait_for_selector("#preference:not([hidden])")
    page.select_option("#version", "")
    page.uncheck("#compare")
    page.fill("#prompt", "something else")
    page.click("#history button")
    assert page.input_value("#version") == "version:3"
    assert page.is_checked("#compare")
    assert page.input_value("#other-version") == ""
    assert page.locator(".answer").count() == 2
    page.reload()
    page.wait_for_selector("#history button")
    page.click("#from-gateway")
    page.wait_for_selector("#live >> text=requests of the gateway")
    page.click("#history button >> nth=0")
    assert page.input_value("#version") == "version:3"
    assert not page.is_checked("#compare")


def test_history_survives_a_reload_and_brings_an_answer_back(open_page: Any) -> None:
    page = open_page()
    ask(page, "remember this")
    written = page.text_content(".written")
    page.reload()
    page.wait_for_selector("#history button")
    page.fill("#prompt", "something else")
    page.click("#history button")
    assert page.input_value("#prompt") == "remember this"
    assert page.text_content(".written") == written
    assert page.is_visible(".judge")
    page.click("#from-gateway")
    page.wait_for_selector("#live >> text=requests of the gateway")
    assert page.text_content("#history strong") == "remember this"
    page.click("#clear")
    page.reload()
    assert page.is_visible("#no-history")


def test_a_version_is_picked_and_the_address_keeps_it(open_page: Any) -> None:
    page = open_page()
    page.select_option("#version", "version:3")
    ask(page, "picked")
    assert "version 3" in page.text_content(".meta")
    again = open_page(path="/" + page.evaluate("location.hash"))
    assert again.input_value("#version") == "version:3"
    assert again.input_value("#prompt") == "picked"


def test_it_works_without_a_mouse(open_page: Any) -> None:
    page = open_page()
    page.focus("#prompt")
    page.keyboard.press("Control+A")
    page.keyboard.type("typed")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".judge:not([hidden])")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.id || document.activeElement.className"
                " || document.activeElement.tagName"
            )
        )
        outlined = page.evaluate(
            """() => {
              const active = document.activeElement;
              return [active, active.closest(".stars label") ?? active]
                .some((each) => getComputedStyle(each).outlineStyle !== "none");
            }"""
        )
        assert outlined or page.evaluate("document.activeElement === document.body")
    assert {"go", "compare", "version", "theme", "quiet good", "quiet copy", "clear"} <= reached


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_has_a_name_and_can_be_read(open_page: Any, readable: Any, scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    page.check("#compare")
    ask(page, "read me")
    page.click("#sampling summary")
    page.click(".edit summary >> nth=0")
    page.click(".good >> nth=0")
    page.wait_for_selector(".said >> text=stored")
    readable(page)
    for landmark in ("header", "nav", "main", "aside", "h1"):
        assert page.locator(landmark).count() >= 1
    assert page.get_attribute("html", "lang") == "en"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme


def test_a_phone_shows_it_without_scrolling_sideways(open_page: Any) -> None:
    page = open_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.check("#compare")
    ask(page, "w" * 300)
    page.click("#sampling summary")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, select, .stars label")]
          .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 40)
          .map((each) => each.outerHTML)"""
    )
    assert small == []


def test_escape_stops(open_page: Any) -> None:
    page = open_page()
    # Never answered, as by a model that is very slow.
    held: list[Any] = []
    page.route("**/v1/generate", lambda route: held.append(route))
    page.fill("#prompt", "slow")
    page.click("#go")
    page.wait_for_selector("#stop:not([hidden])")
    page.keyboard.press("Escape")
    page.wait_for_selector(".stats >> text=stopped")
    assert page.is_enabled("#go")
    assert page.is_hidden("#stop")
    for route in held:
        route.abort()


def test_a_broken_stream_is_told_in_place_and_tried_again(open_page: Any) -> None:
    page = open_page()
    start = {"request_id": "x", "model": "text", "version": 3, "seed": 1}
    cut = f"event: start\ndata: {json.dumps(start)}\n\n"
    cut += 'event: chunk\ndata: {"text": "half", "num_tokens": 1}\n\n'
    kind = {"Content-Type": "text/event-stream"}
    page.route("**/v1/generate", lambda route: route.fulfill(body=cut, headers=kind))
    page.fill("#prompt", "cut")
    page.click("#go")
    page.wait_for_selector(".problem >> text=broke off")
    assert page.text_content(".written") == "half"
    page.unroute("**/v1/generate")
    page.click(".retry")
    page.wait_for_selector(".judge:not([hidden])")
    assert page.text_content(".written").endswith("cut")
    assert page.is_hidden(".problem")


def test_a_gateway_that_is_gone_and_a_wrong_request_are_told_in_words(
    open_page: Any, gateway: Any
) -> None:
    page = open_page()
    page.evaluate("document.querySelector('#max_new_tokens').min = 0")
    page.evaluate("document.querySelector('#max_new_tokens').value = 0")
    page.fill("#prompt", "x")
    page.click("#go")
    page.wait_for_selector(".problem >> text=max_new_tokens")
    page.route("**/v1/generate", lambda route: route.abort())
    page.click(".retry")
    page.wait_for_selector(".problem >> text=cannot be reached")


def test_a_key_is_asked_for_and_used(
    open_page: Any, start_gateway: Any, server: Any, browser: Any
) -> None:
    from serving.store import open_store

    guarded = start_gateway(server.address, "--auth=keys")
    store = open_store(guarded.store)
    _, secret = store.keys.create("mine")
    store.close()
    context = browser.new_context()
    page = context.new_page()
    page.goto(guarded.url)
    page.wait_for_selector("#key-form:not([hidden])")
    page.fill("#key", "ll_wrong")
    page.click("#key-form button")
    page.wait_for_selector("#notice >> text=key")
    page.fill("#key", secret)
    page.click("#key-form button")
    page.wait_for_selector("#model option", state="attached")
    ask(page, "with a key")
    assert page.text_content(".written").endswith("with a key")
    assert secret not in page.evaluate("JSON.stringify(localStorage)")
    context.close()


def test_another_image_model_is_asked_by_a_form_of_its_signature(
    open_page: Any, gateway: Any
) -> None:
    spec = {"dtype": "DT_INT32", "shape": [None]}
    image = {
        "name": "text",
        "modality": "image",
        "versions": [{"version": 1, "state": "AVAILABLE", "labels": []}],
        "signatures": {"generate": {"inputs": {"label": spec, "style": spec}, "outputs": {}}},
        "defaults": {},
    }
    page = open_page()
    page.route("**/v1/models", lambda route: route.fulfill(json={"models": [image]}))
    asked: list[Any] = []

    def answer(route: Any) -> None:
        asked.append((route.request.post_data_json, route.request.headers["accept"]))
        headers = {"X-Request-ID": "r1", "X-Model-Version": "1", "Content-Type": "image/png"}
        route.fulfill(body=PIXEL, headers=headers)

    page.route("**/predict/generate", answer)
    page.reload()
    page.fill("#other-form input[name=label]", "4")
    page.fill("#other-form input[name=style]", "[1]")
    page.click("#go")
    page.wait_for_selector(".result img")
    assert asked == [({"inputs": {"label": 4, "style": [1]}}, "image/png")]
    assert page.evaluate("document.querySelector('.result img').naturalWidth") == 1


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63f8cfc0f01f0005000201fe5c4d5f0000000049454e44ae426082"
)
