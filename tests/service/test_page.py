"""The page in a real browser, against a running service."""

import io
import shutil
import time
from contextlib import contextmanager

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from gliodex.retrieval.imaging.conventions import CONVENTIONS

from .conftest import follow, serving
from .sent_files import nifti, side_by_side

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
from selenium.webdriver.common.by import By  # noqa: E402 - only where there is selenium
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import Select, WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian: chromium-driver)"
)


@contextmanager
def browsing(tmp_path_factory, width=1280, height=800):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    profile = tmp_path_factory.mktemp("browser")
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--use-gl=angle",
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--ignore-gpu-blocklist",
        f"--window-size={width},{height}",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with browsing(tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def answered(service, segmentation):
    """Id of a query that was answered, in space of the atlas."""
    with segmentation.open("rb") as file:
        told = service.post("/v1/queries", files={"seg": file}, data={"space": "atlas", "top_k": 5}).json()
    assert follow(service, told["id"])["status"] == "done"
    return told["id"]


@pytest.fixture(scope="module")
def doubted(service, segmentation):
    """Id of a query about two lesions, one on each side, of which a simulation explains one."""
    image = nib.load(segmentation)
    labels = np.asarray(image.dataobj)
    both = np.concatenate([labels[::-1], np.zeros((10, *labels.shape[1:]), labels.dtype), labels])
    affine = image.affine.copy()
    affine[0, 3] -= affine[0, 0] * (len(both) - len(labels))
    files = {"seg": nib.Nifti1Image(both, affine).to_bytes()}
    told = service.post("/v1/queries", files=files, data={"space": "atlas", "top_k": 5}).json()
    assert follow(service, told["id"])["status"] == "done"
    return told["id"]


def wait(browser, true, seconds=60):
    return WebDriverWait(browser, seconds, 0.05).until(lambda _: true())


def one(browser, selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def shown(browser, selector):
    return one(browser, selector).is_displayed()


def picture(browser):
    """What is drawn on the canvas."""
    return np.asarray(Image.open(io.BytesIO(one(browser, "#canvas").screenshot_as_png)).convert("RGB")).astype(int)


def afresh(browser, address):
    """Open a page, although its address may differ from the present one by what follows # alone."""
    browser.get("about:blank")
    browser.get(str(address))


def drawn(browser, service, job):
    afresh(browser, f"{service.base_url}/#{job}")
    wait(browser, lambda: browser.execute_script("return document.body.dataset.shown") == "answer")
    time.sleep(0.5)


def faults(browser):
    return [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]


def test_from_files_to_the_answer(browser, service, segmentation):
    browser.get(str(service.base_url))
    wait(browser, lambda: "24 tumours" in one(browser, "#store-facts").text)
    assert not one(browser, "#send").is_enabled()
    one(browser, "#files").send_keys(str(segmentation))
    wait(browser, lambda: shown(browser, "#understood"))
    assert "2 oedema (whole), 4 enhancing tumor (core)" in one(browser, "#facts").text
    assert "BraTS 2017-2021" in one(browser, "#facts").text
    assert "whole" in one(browser, "#thumbnail").get_attribute("alt")
    Select(one(browser, "#space")).select_by_value("atlas")
    one(browser, "#send").click()
    wait(browser, lambda: shown(browser, "#progress") or shown(browser, "#answer"))
    wait(browser, lambda: browser.execute_script("return document.body.dataset.shown") == "answer")
    time.sleep(0.5)
    assert "Dice of the whole 1.000" in one(browser, "#summary").text
    values = picture(browser)
    assert np.ptp(values) > 150
    coloured = np.ptp(values, axis=-1) > 60
    assert coloured.mean() > 0.002, "the scan is grey, density and outlines are not"
    assert not faults(browser)


AS_IF_PUSHING = """
    const plain = window.fetch;
    window.fetch = async (...asked) => {
      const answer = await plain(...asked);
      if (!String(asked[0]?.url ?? asked[0]).endsWith("/result")) return answer;
      const told = await answer.json();
      for (const match of told.matches) match.parameters.mass_effect = 4200;
      return new Response(JSON.stringify(told), { headers: answer.headers });
    };
"""


def test_how_hard_tumours_push_is_listed_where_they_do(browser, service, answered):
    def heads():
        return [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "#columns th")]

    drawn(browser, service, answered)
    assert heads()[-1] == "T, days"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AS_IF_PUSHING})
    try:
        drawn(browser, service, answered)
        assert heads()[-1] == "γ, kPa"
        rows = browser.find_elements(By.CSS_SELECTOR, "#matches tr")
        lines = [[cell.text for cell in row.find_elements(By.TAG_NAME, "td")] for row in rows]
        assert [line[-1] for line in lines] == ["", *["4.2"] * 5]
        assert {len(line) for line in lines} == {len(heads())}
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_a_file_that_is_dropped_is_taken(browser, service, segmentation):
    browser.get(str(service.base_url))
    wait(browser, lambda: "24 tumours" in one(browser, "#store-facts").text)
    browser.execute_script(
        """
        const bytes = Uint8Array.from(arguments[0]);
        const given = new DataTransfer();
        given.items.add(new File([bytes], "patient_seg.nii.gz"));
        const how = {dataTransfer: given, bubbles: true, cancelable: true};
        document.getElementById("drop").dispatchEvent(new DragEvent("drop", how));
        """,
        list(segmentation.read_bytes()),
    )
    wait(browser, lambda: shown(browser, "#understood"))
    assert "patient_seg.nii.gz" in one(browser, "#chosen").text


def test_of_a_whole_case_what_is_not_needed_is_left_out(browser, service, segmentation, tmp_path):
    afresh(browser, service.base_url)
    names = ("case_seg", "case_t1", "case_t1ce", "case_t2", "case_flair")
    for name in names:
        (tmp_path / f"{name}.nii.gz").write_bytes(segmentation.read_bytes())
    one(browser, "#files").send_keys("\n".join(str(tmp_path / f"{name}.nii.gz") for name in names))
    wait(browser, lambda: shown(browser, "#understood"))
    taken = [entry.text for entry in browser.find_elements(By.CSS_SELECTOR, "#chosen li span")]
    assert taken == ["case_seg.nii.gz", "case_t1.nii.gz", "case_t1ce.nii.gz"]
    roles = [Select(box).first_selected_option.text for box in browser.find_elements(By.CSS_SELECTOR, "#chosen select")]
    assert roles == ["segmentation", "T1", "T1 with contrast"]
    told = one(browser, "#left-out").text
    assert all(name in told for name in ("case_t2", "case_flair"))
    assert "case_t1" not in told


def test_another_match_is_shown_at_a_click(browser, service, answered):
    drawn(browser, service, answered)
    before = picture(browser)
    rows = browser.find_elements(By.CSS_SELECTOR, "#matches tr")
    assert len(rows) == 1 + 5
    rows[3].find_element(By.TAG_NAME, "button").click()
    wait(browser, lambda: browser.execute_script("return document.body.dataset.map") == "match-3")
    time.sleep(0.5)
    assert (np.abs(picture(browser) - before) > 30).any(axis=-1).mean() > 0.001
    assert rows[3].get_attribute("aria-current") == "true"
    assert rows[0].get_attribute("aria-current") is None


def test_sliders_and_outlines_change_what_is_drawn(browser, service, answered):
    drawn(browser, service, answered)
    before = picture(browser)
    one(browser, "#outline-patient").click()  # the isoline of a tumour of the store lies under it
    time.sleep(0.5)
    assert (picture(browser) != before).any()
    before = picture(browser)
    for control, key in (("#level", Keys.END), ("#opacity", Keys.HOME), ("#plane-z", Keys.ARROW_RIGHT)):
        one(browser, control).send_keys(key)
        time.sleep(0.5)
        after = picture(browser)
        assert (after != before).any(), control
        before = after
    assert one(browser, "#opacity-told").text == "0.00"


def test_other_maps_are_shown_with_their_scale(browser, service, answered):
    drawn(browser, service, answered)
    seen = []
    for name, told in (("deviation", "standard deviation 0 0.3"), ("density", "density 0 1")):
        Select(one(browser, "#shown")).select_by_value(name)
        wait(browser, lambda name=name: browser.execute_script("return document.body.dataset.map") == name)
        time.sleep(0.5)
        assert " ".join(one(browser, "#scale").text.split()) == told
        seen.append((picture(browser), one(browser, "#scale-bar").value_of_css_property("background-image")))
    (deviation, plasma), (density, viridis) = seen
    assert (density != deviation).any()
    assert "rgb(68, 1, 84)" in viridis, "its first colour"
    assert "rgb(13, 8, 135)" in plasma


def test_the_planes_go_through_the_tumour(browser, service, answered):
    drawn(browser, service, answered)
    values = picture(browser)
    blue = (np.abs(values - (86, 180, 233)) < 40).all(axis=-1)
    height, width = blue.shape
    quarters = [blue[: height // 2, : width // 2], blue[: height // 2, width // 2 :], blue[height // 2 :, : width // 2]]
    assert all(part.sum() > 10 for part in quarters), "the patient's outline is in each of the three planes"


def test_each_plane_has_the_largest_section_of_two_lesions(browser, service):
    labels = np.zeros((20, 12, 9), np.uint8)
    labels[2:5, 3:6, 2:5], labels[14:19, 7:11, 4:8] = 1, 2
    browser.get(str(service.base_url))
    planes = browser.execute_async_script(
        "const [labels, shape, done] = arguments;"
        "import('/viewer.js').then((viewer) => done(viewer.largestSections(labels, ...shape)));",
        labels.ravel(order="F").tolist(),
        list(labels.shape),
    )
    sections = [np.count_nonzero(labels, axis=others) for others in ((1, 2), (0, 2), (0, 1))]
    assert planes == [int(areas.argmax()) for areas in sections]
    assert labels[planes[0]].any()


def test_the_keyboard_is_enough(browser, service, answered):
    drawn(browser, service, answered)
    assert browser.switch_to.active_element.get_attribute("id") == "answer-title"
    reached = set()
    for _ in range(40):
        webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
        active = browser.switch_to.active_element
        reached.add(active.get_attribute("id") or active.get_attribute("aria-label") or active.text)
        if active.get_attribute("aria-label") == "Show match 2":
            webdriver.ActionChains(browser).send_keys(Keys.ENTER).perform()
    wait(browser, lambda: browser.execute_script("return document.body.dataset.map") == "match-2")
    assert {"shown", "opacity", "level", "outline-patient", "plane-x", "Show match 5", "report.html", "link"} <= reached


def test_what_is_wrong_is_said_where_it_is(browser, service, tmp_path, segmentation):
    afresh(browser, service.base_url)
    junk = tmp_path / "seg.nii.gz"
    junk.write_bytes(b"no image")
    one(browser, "#files").send_keys(str(junk))
    wait(browser, lambda: one(browser, "#fault-files").text)
    assert "seg is a text file, not an image" in one(browser, "#fault-files").text
    assert one(browser, "#files").get_attribute("aria-invalid") == "true"
    one(browser, "#chosen button").click()
    one(browser, "#files").send_keys(str(segmentation))
    wait(browser, lambda: shown(browser, "#understood"))
    one(browser, "#send").click()
    wait(browser, lambda: "specify exactly one alignment" in one(browser, "#fault-space").text)
    assert one(browser, "#send").is_enabled()


def test_what_labels_mean_is_asked_where_it_can_be_said(browser, service, tmp_path):
    afresh(browser, service.base_url)
    wait(browser, lambda: len(Select(one(browser, "#labels")).options) > 1)  # the conventions have come
    path = tmp_path / "tumor.nii"
    path.write_bytes(nifti(side_by_side()))
    one(browser, "#files").send_keys(str(path))
    wait(browser, lambda: "can be read as" in one(browser, "#fault-labels").text)
    assert one(browser, "#labels").get_attribute("aria-invalid") == "true"
    names = [option.get_attribute("value") for option in Select(one(browser, "#labels")).options]
    assert names == ["", *CONVENTIONS]
    Select(one(browser, "#labels")).select_by_value("hd-glio")
    wait(browser, lambda: shown(browser, "#understood"))
    assert not one(browser, "#fault-labels").text
    assert "1 oedema (whole), 2 enhancing tumor (core)" in one(browser, "#facts").text
    assert "as said" in one(browser, "#facts").text


def test_all_options_of_the_form_are_sent(browser, service, segmentation, tmp_path):
    afresh(browser, service.base_url)
    wait(browser, lambda: len(Select(one(browser, "#labels")).options) > 1)
    path = tmp_path / "Smith_BraTS2021_01234_seg.nii.gz"
    path.write_bytes(segmentation.read_bytes())
    one(browser, "#files").send_keys(str(path))
    wait(browser, lambda: shown(browser, "#understood"))
    one(browser, "details summary").click()
    Select(one(browser, "#labels")).select_by_value("brats")
    Select(one(browser, "#strip")).select_by_value("off")
    one(browser, "#n4").click()
    one(browser, "#reorient").send_keys("LPS")
    sent = browser.execute_script(
        """
        window.sent = null;
        window.fetch = async (path, {body}) => {
          if (String(path).endsWith("queries")) {
            window.sent = Object.fromEntries(body.entries());
            window.sent.seg = window.sent.seg.name;
          }
          return new Response("{}", {status: 422});
        };
        document.getElementById("send").click();
        return window.sent;
        """
    )
    assert sent == {
        "seg": "BraTS2021_01234",
        "labels": "brats",
        "strip": "off",
        "n4": "true",
        "reorient": "LPS",
        "refine": "none",
        "index": "dice",
        "top_k": "15",
    }


def test_warnings_stand_above_the_numbers(browser, service, doubted):
    drawn(browser, service, doubted)
    record = service.get(f"/v1/queries/{doubted}/result").json()
    assert "several_lesions" in {doubt["kind"] for doubt in record["doubts"]}
    told = [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#warnings li")]
    assert len(told) == len(record["warnings"])
    assert any("pieces" in text for text in told)
    assert not any("--" in text for text in told)
    assert one(browser, "#warned").rect["y"] < one(browser, "#summary").rect["y"] < one(browser, "#read-as").rect["y"]
    assert [item.text for item in browser.find_elements(By.CSS_SELECTOR, "#read-as li")] == record["summary"]
    assert "Left and right are those of the files' headers" in one(browser, "#answer").text
    assert not shown(browser, "#brain")


def test_what_was_taken_for_the_brain_is_shown(browser, service, answered):
    faults(browser)  # those of other tests
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": AS_IF_A_HEAD})
    try:
        drawn(browser, service, answered)
        wait(browser, lambda: shown(browser, "#brain"))
        wait(
            browser, lambda: browser.execute_script("return document.getElementById('brain-picture').naturalWidth") > 0
        )
        assert not faults(browser)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


AS_IF_A_HEAD = """
    const plain = window.fetch;
    window.fetch = async (...asked) => {
      const path = String(asked[0]?.url ?? asked[0]);
      if (path.endsWith("/brain.png")) return plain(path.replace("brain.png", "report.png"), asked[1]);
      const answer = await plain(...asked);
      if (!/queries\\/[^/]+$/.test(path)) return answer;
      const told = await answer.json();
      return new Response(JSON.stringify({...told, files: [...told.files, "brain.png"]}), { headers: answer.headers });
    };
"""


def test_dark_and_light(browser, service):
    grounds = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(str(service.base_url))
        grounds.append(one(browser, "body").value_of_css_property("background-color"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    sums = [sum(map(int, ground[ground.index("(") + 1 : -1].split(",")[:3])) for ground in grounds]
    assert sums[0] > 600
    assert sums[1] < 150


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(browser, service, doubted, scheme):
    axe = pytest.importorskip("axe_core_python.selenium", reason="axe looks for what keeps people out")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for job in ("", doubted):
        afresh(browser, f"{service.base_url}/#{job}")
        wait(browser, lambda job=job: shown(browser, "#answer" if job else "#ask"))
        time.sleep(0.5)
        found = axe.Axe().run(browser)["violations"]
        serious = [(one["id"], one["help"]) for one in found if one["impact"] in {"serious", "critical"}]
        assert not serious
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_nothing_comes_from_elsewhere(browser, service, answered):
    drawn(browser, service, answered)
    names = browser.execute_script("return performance.getEntriesByType('resource').map((one) => one.name)")
    assert names
    assert all(name.startswith((str(service.base_url), "blob:", "data:")) for name in names)


def test_a_tablet_shows_all_of_it(tmp_path_factory, service, answered):
    with browsing(tmp_path_factory, 768, 1024) as browser:
        drawn(browser, service, answered)
        wide = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
        assert one(browser, "#canvas").size["height"] > 250


def test_a_token_is_asked_for_and_kept_for_the_tab(browser, brain_store, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("a-secret-of-some-length\n")
    options = ("--token-file", str(secret))
    with serving([f"brain={brain_store.path}"], tmp_path / "folder", *options) as (_, url):
        browser.get(url)
        wait(browser, lambda: shown(browser, "#token-dialog"))
        one(browser, "#token").send_keys("wrong" + Keys.ENTER)
        wait(browser, lambda: shown(browser, "#token-dialog") and not one(browser, "#token").get_attribute("value"))
        one(browser, "#token").send_keys("a-secret-of-some-length" + Keys.ENTER)
        wait(browser, lambda: "24 tumours" in one(browser, "#store-facts").text)
        browser.refresh()
        wait(browser, lambda: "24 tumours" in one(browser, "#store-facts").text)
        assert not shown(browser, "#token-dialog")
