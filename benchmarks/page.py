"""How soon the service's page is there, and an answer drawn, in headless Chromium on this machine.

    python benchmarks/page.py STORE [--times 5]

Needs chromium and its driver (Debian: chromium-driver). Each time a browser that has loaded nothing yet opens the page;
opens the link of an answer; and follows a query with registration, of the page's own example, until it is drawn.
Without a graphics card, planes are drawn by the processor.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from record import keep
from selenium import webdriver

FLAGS = ("--headless", "--no-sandbox", "--no-first-run", "--use-gl=angle", "--use-angle=swiftshader")
FLAGS += ("--enable-unsafe-swiftshader", "--ignore-gpu-blocklist", "--window-size=1280,800")

WATCH = """
new MutationObserver(() => {
  if (document.body?.dataset.shown === "answer" && !window.drawn) {
    requestAnimationFrame(() => { window.drawn = [performance.now(), Date.now()]; });
  }
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-shown"] });
"""

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("store")
parser.add_argument("--times", type=int, default=5)
arguments = parser.parse_args()


@contextmanager
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        found = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
        found.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        try:
            yield found
        finally:
            found.quit()


def until(tell: Callable[[], Any], seconds: float = 300) -> Any:
    end = time.monotonic() + seconds
    while not (told := tell()):
        assert time.monotonic() < end
        time.sleep(0.1)
    return told


def first_paint_s(url: str) -> float:
    with browser() as page:
        page.get(url)
        asked = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        return until(lambda: page.execute_script(asked)) / 1e3


def drawn_s(address: str) -> float:
    with browser() as page:
        page.get(address)
        return until(lambda: page.execute_script("return window.drawn"))[0] / 1e3


def drawn_after_end_s(client: httpx.Client, files: dict[str, bytes]) -> tuple[str, float]:
    job = client.post("/v1/queries", files=files).raise_for_status().json()["id"]
    with browser() as page:
        page.get(f"{client.base_url}/#{job}")
        drawn = until(lambda: page.execute_script("return window.drawn"))[1] / 1e3
    return job, drawn - client.get(f"/v1/queries/{job}").json()["ended_at"]


with tempfile.TemporaryDirectory() as folder:
    command = [sys.executable, "-m", "gliodex.cli.main", "serve", arguments.store, "--port", "0", "--folder", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        assert process.stdout is not None
        found = re.search(r"http://\S+?(?=;)", process.stdout.readline().decode())
        assert found
        url = found.group()
        with httpx.Client(base_url=url, timeout=300) as client:
            example = {name: client.get(f"/v1/example/{name}").raise_for_status() for name in ("segmentation", "t1")}
            files = {name: sent.content for name, sent in example.items()}
            followed = [drawn_after_end_s(client, files) for _ in range(arguments.times)]
        linked = [drawn_s(f"{url}/#{job}") for job, _ in followed]
        painted = [first_paint_s(url) for _ in followed]
    finally:
        process.terminate()
        process.wait()

keep(
    "page",
    {
        "store": Path(arguments.store).name,
        "times": arguments.times,
        "first_paint_s": round(statistics.median(painted), 2),
        "drawn_after_end_s": round(statistics.median(after for _, after in followed), 2),
        "drawn_from_link_s": round(statistics.median(linked), 2),
        "worst": [round(max(values), 2) for values in (painted, [after for _, after in followed], linked)],
    },
    f"python benchmarks/page.py STORE --times {arguments.times}",
)
