"""The demo in a browser, from one end to the other. `IISAN_SCREENSHOTS` names a folder where its pictures are kept."""

import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from .conftest import HOSTILE

pytestmark = [
    pytest.mark.network,
    pytest.mark.browser,
    pytest.mark.long,
    # Gradio's own statistics of its queue, with pandas 3.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated", "ignore:The copy keyword is dep"),
]

PATIENCE = 60_000
"""Milliseconds; where processors are shared, a page may take long."""
expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A page that fails its test if the page's own program fails, or anything is fetched from elsewhere."""
    opened = browser.new_page(viewport={"width": 1360, "height": 1000})
    opened.set_default_timeout(PATIENCE)
    faults, outside = [], []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: outside.append(request.url))
    yield opened
    opened.close()
    assert faults == []
    here = ("http://127.0.0.1:", "data:", "blob:")
    assert [url for url in outside if not url.startswith(here)] == []


@pytest.fixture(scope="module")
def keep(tmp_path_factory):
    folder = Path(os.environ.get("IISAN_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return take


def start(page: Page, address: str, theme: str = "light") -> None:
    page.goto(f"{address}?__theme={theme}")
    expect(page.locator("#found .card").first).to_be_visible()
    page.locator("#clear").click()
    expect(page.locator("#history .card")).to_have_count(0)
    expect(page.locator("#recommended-0")).to_contain_text("Recommendations appear here")


def shown(page: Page, place: str) -> list[str]:
    return page.locator(f"{place} [data-item]").evaluate_all("cards => cards.map(card => card.dataset.item)")


def ids(recommender, history: list[str], k: int) -> list[str]:
    return [item.item_id for item in recommender.recommend(histories=[history], k=k)[0]]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_history_is_composed_and_the_list_follows_it(page, address, recommender, keep, theme):
    start(page, address, theme)
    history: list[str] = []
    for number in (0, 4):
        card = page.locator("#found .card").nth(number)
        history.append(card.get_attribute("data-item"))
        card.click()
        expect(page.locator("#history .card")).to_have_count(len(history))
        assert shown(page, "#history") == list(reversed(history))
        assert shown(page, "#recommended-0") == ids(recommender, history, 12)
    best = page.locator("#recommended-0 .card").first
    expect(best.locator(".stacked i")).to_have_count(3)
    best.click()
    expect(page.locator("#why .bars")).to_have_count(2)
    expect(page.locator("#why .row")).to_have_count(3 + 2)
    expect(page.locator("#why")).to_be_in_viewport(ratio=0.5)
    expect(page.locator("#recommended-0 .card.marked")).to_have_count(1)
    keep(page, f"compose-{theme}")
    page.locator("#history .card").first.click()
    expect(page.locator("#history .card")).to_have_count(1)
    assert shown(page, "#recommended-0") == ids(recommender, history[:1], 12)
    expect(page.locator("#why")).to_contain_text("Click a recommendation")


def test_search_narrows_what_is_found_and_says_when_there_is_nothing(page, address, recommender):
    start(page, address)
    wanted = recommender.item_ids[9]
    page.locator("#query input, #query textarea").first.fill(wanted)
    expect(page.locator("#found .card")).to_have_count(1)
    assert shown(page, "#found") == [wanted]
    page.locator("#query input, #query textarea").first.fill("no such thing")
    expect(page.locator("#found")).to_contain_text("No title holds all of “no such thing”. Try fewer words.")


def test_sample_users_and_examples_fill_the_history(page, address):
    start(page, address)
    page.locator("#another").click()
    expect(page.locator("#recommended-0 .card").first).to_be_visible()
    assert len(shown(page, "#history")) >= 5
    expect(page.locator("#user input")).not_to_have_value("")
    page.locator("#history .card").first.click()
    expect(page.locator("#user input")).to_have_value("")  # the history is no longer that user's
    page.get_by_role("button", name="Example 1").click()
    expect(page.locator("#history .card")).to_have_count(3)


def test_a_hostile_title_is_text(page, address, shop):
    start(page, address)
    page.locator("#query input, #query textarea").first.fill(shop.hostile)
    expect(page.locator("#found .card")).to_have_count(1)
    expect(page.locator("#found .name")).to_have_text(HOSTILE)
    page.locator("#found .card").click()
    expect(page.locator("#history .name")).to_have_text(HOSTILE)
    assert page.evaluate("window.hacked") is None


def test_two_runs_stand_side_by_side(page, address_of_two, recommender, titles_only, keep):
    start(page, address_of_two)
    page.get_by_role("button", name="Example 2").click()
    expect(page.locator("#recommended-1 .card")).to_have_count(8)
    history = list(reversed(shown(page, "#history")))
    assert shown(page, "#recommended-0") == ids(recommender, history, 8)
    assert shown(page, "#recommended-1") == ids(titles_only, history, 8)
    page.locator("#recommended-1 .card").nth(1).click()
    expect(page.locator("#why")).to_contain_text("titles: score")
    keep(page, "two-runs-light")


@pytest.fixture
def mug(tmp_path):
    Image.effect_noise((120, 120), 60).convert("RGB").save(tmp_path / "mug.png")
    return tmp_path / "mug.png"


def bring(page: Page, *, picture: Path | None, title: str) -> None:
    page.get_by_role("tab", name="Bring a new item").click()
    if picture is not None:
        page.locator("#picture input[type=file]").set_input_files(picture)
        expect(page.locator("#picture img")).to_be_visible()
    page.locator("#title textarea").fill(title)
    page.locator("#ask").click()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_new_item_is_brought(page, address, mug, keep, theme):
    page.goto(f"{address}?__theme={theme}")
    bring(page, picture=mug, title=f"Round oak mug {HOSTILE}")
    expect(page.locator("#new-item .user")).to_have_count(6)
    expect(page.locator("#new-item .card")).to_have_count(8)
    assert page.evaluate("window.hacked") is None
    keep(page, f"new-item-{theme}")


def test_an_example_is_taken(page, address):
    page.goto(address)
    page.get_by_role("tab", name="Bring a new item").click()
    example = page.locator("#examples .card").nth(1)
    example.click()
    expect(page.locator("#new-item .user")).to_have_count(6)
    expect(page.locator("#new-item strong")).to_have_text(example.locator(".name").inner_text())


def test_what_cannot_be_taken_gets_a_sentence(page, address, tmp_path, keep):
    page.goto(address)
    bring(page, picture=None, title="")
    expect(page.get_by_role("alert").first).to_contain_text("There is neither a picture nor a title")
    page.locator("#title textarea").fill("x" * 100_000)
    page.locator("#ask").click()
    expect(page.locator("#new-item [role=alert]")).to_contain_text("The title has 100,000 characters; 300 are the most")
    (tmp_path / "no.png").write_bytes(b"no picture")
    page.locator("#picture input[type=file]").set_input_files(tmp_path / "no.png")
    page.locator("#title textarea").fill("mug")
    expect(page.locator("#picture img")).to_have_count(1)
    page.locator("#ask").click()
    expect(page.locator("#new-item [role=alert]")).to_contain_text("The file cannot be read as a picture")
    keep(page, "refused-light")


def test_a_narrow_page_has_nothing_beside_it(page, address, mug, keep):
    page.set_viewport_size({"width": 390, "height": 844})
    start(page, address)
    page.locator("#another").click()
    expect(page.locator("#recommended-0 .card").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    keep(page, "narrow-light")
    bring(page, picture=mug, title="Round oak mug")
    expect(page.locator("#new-item .user")).to_have_count(6)
    expect(page.locator("#new-item")).to_be_in_viewport()
    right = "all => Math.max(...all.map(each => each.getBoundingClientRect().right))"
    assert page.locator("#new-item .user img").evaluate_all(right) <= 390
    keep(page, "narrow-new-light")


def test_runs_of_titles_ask_for_no_picture(page, address_of_titles, keep):
    page.goto(address_of_titles)
    page.get_by_role("tab", name="Bring a new item").click()
    expect(page.locator("#title textarea")).to_be_visible()
    expect(page.locator("#picture")).not_to_be_visible()
    bring(page, picture=None, title="Round oak mug")
    expect(page.locator("#new-item")).to_contain_text("from its title alone")
    keep(page, "titles-light")


def test_the_keyboard_suffices(page, address):
    start(page, address)
    page.locator("#found .card").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#history .card")).to_have_count(1)
    page.locator("#recommended-0 .card").first.focus()
    page.keyboard.press("Space")
    expect(page.locator("#why .bars")).to_have_count(1)
