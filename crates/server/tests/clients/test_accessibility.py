"""axe-core finds no serious violation, on any tab, in either theme."""

import base64
import hashlib
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

import browsing

AXE = "axe-core@4.14.1"
AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
ADDRESSES = {
    "start": "/",
    "search": "/?q=a+red+patch",
    "chips": "/?q=a+red+patch&t=-1:blue&least=0.2",
    "captions": "/?q=a+red+patch&target=text",
    "train": "/?tab=train",
    "evaluate": "/?tab=evaluate",
    "data": "/?tab=data",
}


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script, from npm; GXN_AXE names the packed package if it is there already."""
    folder = tmp_path_factory.mktemp("axe")
    package = os.environ.get("GXN_AXE")
    if not package:
        subprocess.run(["npm", "pack", AXE], cwd=folder, check=True, capture_output=True)
        package = next(folder.glob("*.tgz"))
    digest = base64.b64encode(hashlib.sha512(Path(package).read_bytes()).digest()).decode()
    assert digest == AXE_SHA512, f"{package} is not {AXE}"
    with tarfile.open(package) as packed:
        return packed.extractfile("package/axe.min.js").read().decode()


@pytest.fixture(scope="module", params=["light", "dark"])
def page(request, url):
    driver = browsing.start(dark=request.param == "dark")
    yield browsing.Page(driver, url)
    driver.quit()


def violations(page, axe):
    page.driver.execute_script(axe)
    found = page.driver.execute_async_script("axe.run().then(arguments[0])")["violations"]
    return [f"{entry['impact']} {entry['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
            for entry in found if entry["impact"] in ("serious", "critical") for node in entry["nodes"]]


@pytest.mark.parametrize("name", ADDRESSES)
def test_no_serious_violation(page, axe, name):
    page.go(ADDRESSES[name])
    page.one("#hits .hit, .welcome, #train .chart svg, #evaluate table, #data table")
    assert violations(page, axe) == []


def test_no_serious_violation_in_an_opened_hit(page, axe):
    page.go(ADDRESSES["search"]).hits()[0].find_element("css selector", ".open").click()
    page.one("#opened .facts h3")
    assert violations(page, axe) == []
