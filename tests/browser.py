"""A real browser for the tests marked `browser`: the system's Chromium, driven by Playwright, and axe-core.

Pages are opened with the fixture `open_page`. Whatever a test does with them, it fails if one of them logged an error or
sent a request elsewhere.
"""

import os
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

WIDE, NARROW = 1280, 390
"""Widths of a laptop and of a telephone, in pixels."""
SHOWN = [(WIDE, "light"), (NARROW, "dark"), (WIDE, "dark"), (NARROW, "light")]
"""(width, colours) that a page is checked in."""

AT_REST = """async () => {
    const frame = () => new Promise(requestAnimationFrame);
    const ends = (one) => one.effect.getComputedTiming().endTime < Infinity;
    const moving = () => document.getAnimations().filter(ends);
    await frame();  // before the next frame, scripts hear of new colours
    do {
        await frame();
        await Promise.all(moving().map((one) => one.finished.catch(() => null)));
    } while (moving().length);  // what inherits a colour that fades fades after it
}"""
"""Waits until nothing fades any more: colours half-way between light and dark are nobody's."""


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium.

    One for each module: as long as Playwright runs, the thread has an event loop, and other tests begin their own.
    """
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        missing = "needs Chromium: apt-get install chromium"
        pytest.fail(missing) if os.environ.get("PHF_TEST_BROWSER") else pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


class Pages:
    """Opens pages, and collects what is wrong with them."""

    def __init__(self, browser):
        self.browser, self.contexts, self.faults = browser, [], []

    def __call__(self, address, width=WIDE, colours="light", **options):
        """The page, as Playwright's `Page`.

        `address`: a file, which is opened without a network, or the URL of a server of this machine; `options`: others
        of Playwright's `new_context`, such as `java_script_enabled`.
        """
        is_file = isinstance(address, Path)
        url = address.resolve().as_uri() if is_file else address
        size = {"width": width, "height": 900}
        context = self.browser.new_context(offline=is_file, viewport=size, color_scheme=colours, **options)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: self.note(message.text, message.type == "error"))
        page.on("pageerror", lambda error: self.note(str(error)))
        page.on("request", lambda request: self.note(f"asks for {request.url}", not is_own(request.url, url)))
        page.goto(url)
        return page

    def note(self, fault, is_fault=True):
        if is_fault:
            self.faults.append(fault)

    def close(self):
        for context in self.contexts:
            for page in context.pages:
                page.title()  # what the page did until now has been reported
            context.close()


@pytest.fixture
def open_page(chromium):
    """See `Pages`."""
    pages = Pages(chromium)
    yield pages
    pages.close()
    assert pages.faults == []


def is_own(asked, own):
    """Whether a request stays with the page's own server; a page from a file may ask for nothing but itself."""
    asked, own = urlsplit(asked), urlsplit(own)
    if asked.scheme in ("data", "blob"):
        return True
    return asked._replace(fragment="") == own if own.scheme == "file" else asked.netloc == own.netloc


def accessibility_faults(page, rules=None, inside=None):
    """What axe-core finds serious or critical: one line per rule, with the elements.

    `rules`: only these; `inside`: a selector, for a part of the page; None: all.
    """
    from axe_playwright_python.sync_playwright import Axe

    options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    violations = Axe().run(page, context=inside, options=options).response["violations"]
    return [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {[node['html'] for node in violation['nodes']]}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
    ]


def assert_accessible(page, inside=None):
    """No serious fault, wide and narrow, light and dark: by all rules in two of the four, by contrast in the others."""
    for number, (width, colours) in enumerate(SHOWN):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=colours, reduced_motion="reduce")
        page.evaluate(AT_REST)
        faults = accessibility_faults(page, None if number < 2 else ["color-contrast"], inside)
        if page.evaluate("document.documentElement.scrollWidth") > width:
            faults.append("wider than the window: wide content must scroll within its own box")
        if faults:
            raise AssertionError(f"{width} pixels wide, {colours}: " + "\n".join(faults))
