"""Driving the page in headless Chromium."""

import base64
import shutil

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

WAIT_S = 20
DESKTOP = (1280, 860)
PHONE = (360, 740)

DROP = """
const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
const carried = new DataTransfer();
carried.items.add(new File([bytes], 'query.png', { type: 'image/png' }));
document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: carried, bubbles: true, cancelable: true }));
"""


def start(size=DESKTOP, dark=False):
    """A browser whose window has `size`, with the system's theme."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme, still]})
    return driver


class Page:
    """What a person does with the page."""

    def __init__(self, driver, url):
        self.driver = driver
        self.url = url

    def go(self, address="/"):
        self.driver.get(self.url + address)
        return self

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        """The first that is visible; waits for it."""
        return self.wait(lambda: next((found for found in self.all(selector) if found.is_displayed()), None), selector)

    def wait(self, condition, message=""):
        return WebDriverWait(self.driver, WAIT_S, 0.05, [StaleElementReferenceException]).until(lambda _: condition(), message)

    def text(self, selector):
        return self.one(selector).text

    def search(self, words):
        box = self.one("#words")
        box.clear()
        box.send_keys(words + Keys.ENTER)
        return self.hits()

    def hits(self):
        """Waits for hits whose images are there."""
        self.wait(lambda: self.all("#hits .hit") and "hit" in self.driver.find_element(By.ID, "status").text, "hits")
        loaded = "return [...document.querySelectorAll('#hits img')].slice(0, 4).every((img) => img.naturalWidth > 0)"
        self.wait(lambda: self.driver.execute_script(loaded), "images of hits")
        return self.all("#hits .hit")

    def drop(self, png):
        self.driver.execute_script(DROP, base64.b64encode(png).decode())

    def press(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        return self.driver.switch_to.active_element

    def width_needed(self):
        return self.driver.execute_script("return document.documentElement.scrollWidth")

    def ground(self):
        return self.driver.execute_script("return getComputedStyle(document.body).backgroundColor")

    def errors(self):
        """What the console has against the page, such as a violated policy; refused requests are no fault of it."""
        return [entry["message"] for entry in self.driver.get_log("browser")
                if entry["level"] == "SEVERE" and "Failed to load resource" not in entry["message"]]

    def shot(self, folder, name):
        self.driver.save_screenshot(str(folder / f"{name}.png"))
