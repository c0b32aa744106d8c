"""The two pages that people look at, in a real browser without a screen: Chromium, by its own driver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.wait import WebDriverWait

from tests.blackbox import messages as m
from tests.nodes import Node
from xds.cli import main

MISSING = (
    "the pages in a browser are NOT TESTED: no Chromium (Debian: apt-get install chromium chromium-driver)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """A browser that starts with nothing of anybody."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # In a container there is no room for its sandbox; it opens nothing here but our own pages.
    for each in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(each)
    opened = webdriver.Chrome(options, webdriver.ChromeService(driver))
    opened.implicitly_wait(20)
    yield opened
    opened.quit()


def _complaints(browser: webdriver.Chrome) -> list[str]:
    """What the browser has refused or could not do: an address that is not there, a broken policy, a script's
    error.
    """
    found = [each["message"] for each in browser.get_log("browser")]
    return [each for each in found if "favicon" not in each]


def _shown(browser: webdriver.Chrome) -> list[WebElement]:
    return [each for each in browser.find_elements(By.CSS_SELECTOR, "details.case") if each.is_displayed()]


def test_the_conformance_report_is_read_and_filtered(
    browser: webdriver.Chrome, node: Node, tmp_path: Path
) -> None:
    """Every case is there; what is unticked goes; the one that failed says why."""
    (tmp_path / "own.toml").write_text(
        '[[case]]\nid = "own"\ntitle = "Own <img src=x onerror=document.title=1>"\nwhy = "It matters."\n'
        'section = "s"\nactor = "Document Registry"\nprofiles = ["soap"]\n'
        '[[case.step]]\nsend = "ITI-18"\nexpect = { status = "Failure" }\n'
    )
    report = tmp_path / "report.html"
    chosen = ["--cases", str(tmp_path), "--profile", "soap"]
    assert main(["conformance", "--target", node.url, *chosen, "--html", str(report)]) == 1
    browser.get(report.as_uri())
    assert browser.title == "Conformance report"
    everything = _shown(browser)
    assert len(everything) > 5
    browser.find_element(By.CSS_SELECTOR, "input[name=state][value=passed]").click()
    (failed,) = _shown(browser)
    assert failed.get_attribute("id") == "own"
    assert browser.find_element(By.ID, "shown").text == f"1 of {len(everything)} cases are shown."
    if not failed.get_attribute("open"):
        failed.find_element(By.TAG_NAME, "summary").click()
    assert "status: wanted Failure, got Success" in failed.text
    assert "It matters." in failed.text
    assert "AdhocQueryResponse" in failed.text
    browser.find_element(By.ID, "words").send_keys("no case has these words")
    assert _shown(browser) == []
    assert browser.title == "Conformance report", "what a case says was run"
    assert _complaints(browser) == []


def test_a_message_is_pasted_into_the_validator_and_judged(browser: webdriver.Chrome, node: Node) -> None:
    """A wrong one gets its rule and remedy, a good one nothing; what is pasted is shown and never run."""
    address = node.url + "/tools/validate"
    good = m.plain(m.find_documents(), "ITI-18").body.decode()
    wrong = good.replace("^^^", "^", 1).replace("</s:Header>", "<x onclick='document.title=1'/></s:Header>")
    assert wrong != good
    verdicts = []
    for text in (good, wrong):
        browser.get(address)
        label = browser.find_element(By.CSS_SELECTOR, "label[for=text]")
        assert label.text
        browser.execute_script("arguments[0].value = arguments[1]", browser.find_element(By.ID, "text"), text)
        browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()
        WebDriverWait(browser, 60).until(staleness_of(label))  # the answer is a new page
        verdicts.append(browser.find_element(By.TAG_NAME, "main").text)
    assert "query-" not in verdicts[0]
    assert "query-" in verdicts[1]
    assert browser.title != "1"
    assert _complaints(browser) == []
