"""The playground's page in a real browser, and what every state of it must keep to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# Of a module, not of the session: its event loop would run on under the tests that come after.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("Chromium is missing: make test-tools")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Opens the page; console errors and requests to other hosts fail the test."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def open_page(
        url: str | None = None, path: str = "/", ready: str = "#model option", **options: Any
    ) -> Any:
        url = url or request.getfixturevalue("gateway").url
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on(
            "console",
            lambda message: (
                wrong.append(message.text)
                # The browser itself logs replies of 4xx and 5xx, which tests provoke.
                # The sandbox of a report says so where it keeps a script from running.
                if message.type == "error"
                and "Failed to load resource" not in message.text
                and "Blocked script execution in 'about:srcdoc'" not in message.text
                else None
            ),
        )
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((url, "data:", "blob:"))
                else wrong.append(request.url)
            ),
        )
        page.goto(f"{url}{path}")
        page.wait_for_selector(ready, state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


NAMES = """() => [...document.querySelectorAll("button, input, select, textarea, a, summary")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !(each.ariaLabel || each.labels?.length || each.textContent.trim()))
  .map((each) => each.outerHTML)"""

CONTRAST = """() => {
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const color = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const found = color(getComputedStyle(each).backgroundColor);
      if (found.length === 3 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !each.checkVisibility() || each.disabled || each.tagName === "OPTION") continue;
    const [one, other] = [light(color(getComputedStyle(each).color)), light(behind(each))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) low.push(`${each.tagName}.${each.className} ${ratio.toFixed(2)}`);
  }
  return low;
}"""


@pytest.fixture(scope="session")
def readable() -> Callable[[Any], None]:
    """Checks that everything on a page has a name and enough contrast."""

    def readable(page: Any) -> None:
        assert page.evaluate(NAMES) == []
        assert page.evaluate(CONTRAST) == []

    return readable
