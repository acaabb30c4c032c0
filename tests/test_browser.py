"""The browser of the tests sees what is wrong with a page."""

import pytest
from tests.browser import accessibility_faults, assert_accessible

pytestmark = pytest.mark.browser

GOOD = "<!doctype html><html lang=en><title>A page</title><main><h1>A page</h1><p>Text</main>"


def write(folder, body):
    path = folder / "page.html"
    path.write_text(GOOD + body, encoding="utf-8")
    return path


def test_errors_and_requests_of_a_page_are_faults(open_page, tmp_path):
    scripts = "<script>console.log('a note'); console.error('broken')</script><script>nothing.here</script>"
    image = "<img alt='' src='http://127.0.0.1:9/x.png'>"
    page = open_page(write(tmp_path, scripts + image))
    page.wait_for_load_state()
    for fault in ("broken", "nothing is not defined", "asks for http://127.0.0.1:9/x.png"):
        assert any(fault in noted for noted in open_page.faults)
    assert not any("a note" in noted for noted in open_page.faults)
    open_page.faults.clear()


def test_serious_faults_of_accessibility_are_found(open_page, tmp_path):
    assert_accessible(open_page(write(tmp_path, "")))
    page = open_page(write(tmp_path, "<p style='color: #bbb; background: #fff'>Pale</p><input>"))
    assert [fault.split()[0] for fault in accessibility_faults(page)] == ["color-contrast", "label"]
    assert [fault.split()[0] for fault in accessibility_faults(page, ["color-contrast"])] == ["color-contrast"]


def test_a_page_wider_than_the_window_is_found(open_page, tmp_path):
    with pytest.raises(AssertionError, match=r"390 pixels wide, dark: wider than the window"):
        assert_accessible(open_page(write(tmp_path, "<div style='width: 600px'>Wide</div>")))


def test_colours_that_a_script_changes_are_judged_once_they_have_changed(open_page, tmp_path):
    colours = "main { color: #222; background: #fff } .dark main { color: #fff; background: #222 }"
    colours += "main, main * { transition: color 1s }"  # one after the other: what is inherited changes twice
    media = "matchMedia('(prefers-color-scheme: dark)')"
    script = f"{media}.onchange = (event) => document.body.classList.toggle('dark', event.matches)"
    assert_accessible(open_page(write(tmp_path, f"<style>{colours}</style><script>{script}</script>")))
