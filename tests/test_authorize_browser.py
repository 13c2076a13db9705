"""The authorisation pages in a real browser at phone size, in both languages: Chromium driven by playwright.

``AUTHORIZE_SCREENSHOTS=FOLDER`` keeps pictures; docs/images holds those of one run.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from gateway.authorize.desk import token_hash
from tests.authorize_world import ask
from tests.gateway_world import SMALL, World, gateway_world

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Debian's chromium at /usr/bin/chromium"),
]

WORDS = {
    "zh": {
        "agree": "我已阅读以上全部内容",
        "go_on": "同意，去核验身份",
        "code": "验证码",
        "confirm": "确认授权",
        "receipt": "授权回执",
        "download": "下载回执",
        "uses": "查看使用记录",
        "issued": "已生成画像",
        "withdraw": "撤回授权",
        "yes": "确认撤回",
        "ended": "您已撤回此授权",
        "other": "English",
    },
    "en": {
        "agree": "I have read all of the above",
        "go_on": "Agree and verify identity",
        "code": "One-time code",
        "confirm": "Give consent",
        "receipt": "Receipt of consent",
        "download": "Download receipt",
        "uses": "See every use",
        "issued": "Profile issued",
        "withdraw": "Withdraw consent",
        "yes": "Yes, withdraw",
        "ended": "You have withdrawn this consent",
        "other": "中文",
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("browser")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    # Nothing here is about time: a busy machine may take long.
    expect.set_options(timeout=30_000)
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(chromium: Browser) -> AsyncIterator[Page]:
    context = await chromium.new_context(
        viewport=PHONE, is_mobile=True, has_touch=True, java_script_enabled=False, accept_downloads=True
    )
    yield await context.new_page()
    await context.close()


async def keep(page: Page, name: str) -> None:
    if folder := os.environ.get("AUTHORIZE_SCREENSHOTS"):
        await page.screenshot(path=f"{folder}/authorize-{name}.jpg", full_page=True, type="jpeg", quality=60)


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_consent_is_given_the_receipt_kept_a_use_seen_and_the_consent_withdrawn(
    world: World, page: Page, language: str, tmp_path: Path
) -> None:
    words = WORDS[language]
    foreign: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda r: None if r.url.startswith(world.demo.gateway_url) else foreign.append(r.url))
    page.on("console", lambda m: complaints.append(m.text))
    made = await ask(world, language=language)
    await page.goto(world.demo.gateway_url + made["path"])
    assert await page.locator("input:checked").count() == 0
    width = await page.locator("html").bounding_box()
    assert width is not None
    assert width["width"] <= PHONE["width"]
    for control in await page.locator("button, a.button, .tick").all():
        box = await control.bounding_box()
        assert box is not None
        assert box["height"] >= 44, "too small for a finger"
    await keep(page, language)

    await page.locator(f"label[for=separate-{SMALL}]").tap()
    await page.get_by_label(words["agree"]).check()
    await page.get_by_role("button", name=words["go_on"]).tap()
    code = await page.locator("#sandbox-code").text_content()
    await page.get_by_label(words["code"]).fill(code or "")
    await keep(page, f"{language}-code")
    await page.get_by_role("button", name=words["confirm"]).tap()
    await expect(page.get_by_role("heading", level=1)).to_have_text(words["receipt"])
    await keep(page, f"{language}-receipt")

    async with page.expect_download() as waiting:
        await page.get_by_role("link", name=words["download"]).tap()
    file = tmp_path / "receipt.jws"
    await (await waiting.value).save_as(file)
    evidence = world.demo.services.evidence
    stored = await evidence.request_by_token(token_hash(made["path"].rpartition("/")[2]))
    assert stored is not None
    assert stored.consent_id is not None
    assert file.read_bytes() == await evidence.act(stored.id)

    await world.lender.profile(world.ask(stored.consent_id))
    await page.get_by_role("link", name=words["uses"]).tap()
    await expect(page.locator("main")).to_contain_text(words["issued"])
    await keep(page, f"{language}-uses")

    await page.get_by_role("link", name=words["withdraw"]).tap()
    await expect(page.get_by_role("button", name=words["yes"])).to_be_visible()
    await keep(page, f"{language}-withdraw")
    await page.get_by_role("button", name=words["yes"]).tap()
    await expect(page.locator("main")).to_contain_text(words["ended"])
    consent = await evidence.consent(stored.consent_id)
    assert consent is not None
    assert consent.state.value == "revoked"
    assert foreign == []
    assert complaints == [], "the content policy stopped something of our own"


async def test_the_reader_changes_the_language_and_the_browser_insists_on_the_tick(world: World, page: Page) -> None:
    made = await ask(world)
    await page.goto(world.demo.gateway_url + made["path"])
    await page.get_by_role("link", name=WORDS["zh"]["other"]).tap()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_role("button", name=WORDS["en"]["go_on"]).tap()
    assert await page.locator("#sandbox-code").count() == 0
    assert await page.locator("#agree:invalid").count() == 1
    await page.get_by_role("button", name="I do not agree").tap()
    await expect(page.get_by_role("heading", level=1)).to_have_text("You did not agree")


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_the_page_is_walked_through_by_keyboard_with_a_focus_that_can_be_seen(
    world: World, chromium: Browser, language: str
) -> None:
    made = await ask(world, language=language)
    context = await chromium.new_context(viewport=PHONE)
    page = await context.new_page()
    await page.goto(world.demo.gateway_url + made["path"])
    reached = []
    for _ in range(5):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px"
    words = WORDS[language]
    assert reached[:4] == [words["other"], f"separate-{SMALL}", "agree", words["go_on"]]
    contrast = await page.evaluate(
        """() => {
          const light = c => { const v = c.match(/[0-9.]+/g).slice(0, 3).map(x => x / 255)
              .map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
            return 0.2126 * v[0] + 0.7152 * v[1] + 0.0722 * v[2]; };
          const back = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
          return Math.min(...[...document.querySelectorAll('p, h1, h2, a, span, button, legend')].map(e => {
            const [a, b] = [light(getComputedStyle(e).color), light(back(e))].sort((x, y) => y - x);
            return (a + 0.05) / (b + 0.05); })); }"""
    )
    assert contrast >= 4.5, "WCAG 2.1 AA, 1.4.3"
    await context.close()
