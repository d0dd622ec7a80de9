import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from gliodex.retrieval.outputs import DISCLAIMER
from gliodex.retrieval.report import write_report


class Page(HTMLParser):
    """Tags with their attributes, and the text that a reader sees."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._hidden = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._hidden = tag in ("style", "script", "title")

    def handle_endtag(self, tag):
        self._hidden = False

    def handle_data(self, data):
        if not self._hidden:
            self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def maps_like(image):
    return {name: np.zeros_like(image) for name in ("mean", "deviation", "exceedance")}


@pytest.fixture(scope="module")
def html(asked):
    return (asked.out / "report.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_the_page_needs_nothing_from_elsewhere(html, page):
    assert not re.search(r"https?:|url\(|@import|//\w", re.sub(r"base64,[\w+/=]+", "", html))
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base")
        for name in ("src", "href", "srcset", "data", "action"):
            assert attributes.get(name, "data:").startswith("data:")


@pytest.mark.parametrize(("place", "name"), enumerate(["report", "uncertainty", "posterior"]))
def test_the_pictures_are_in_the_page(asked, page, place, name):
    image = [attributes for tag, attributes in page.tags if tag == "img"][place]
    assert image["src"].startswith("data:image/png;base64,")
    assert image["alt"]
    assert base64.b64decode(image["src"].split(",", 1)[1]) == (asked.out / f"{name}.png").read_bytes()


def test_every_tag_is_closed(page, html):
    for tag in ("table", "tr", "td", "th", "div", "p", "thead", "tbody", "html", "body"):
        opened = sum(name == tag for name, _ in page.tags)
        assert opened == html.count(f"</{tag}>"), tag


def test_the_page_says_that_it_is_no_medical_device(page):
    assert DISCLAIMER in page.text
    assert "not a medical device" in page.text


def test_the_scores_of_all_matches_are_shown(asked, page):
    assert len(asked.record["matches"]) == 7
    for match in asked.record["matches"]:
        for value in (match["score"], match["dice_whole"], match["dice_core"]):
            assert f"{value:.3f}" in page.text
        assert f"{match['parameters']['diffusivity']:.3f}" in page.text
    for name in ("whole", "core"):
        assert f"{asked.record['patient_space'][name]:.2f}" in page.text


def test_the_page_says_what_was_understood(asked, page):
    for expected in (
        str(asked.request.seg),
        "core labels 4",
        "whole labels 2, 4",
        "identity",
        str(asked.request.store),
    ):
        assert expected in page.text
    assert f"version {asked.record['store']['version']}" in page.text


def test_every_stage_is_timed(asked, page):
    for stage in ("read", "registration", "masks to atlas", "search", "density to patient", "write images"):
        assert stage in asked.record["seconds"]
        assert stage in page.text


def test_text_from_outside_is_escaped(asked, tmp_path):
    nasty = "<b>&\"'</td><script>alert(1)</script>"
    record = asked.record | {
        "warnings": [nasty],
        "understood": {"segmentation": nasty},
        "store": asked.record["store"] | {"path": nasty, "atlas": nasty},
    }
    background = np.zeros(asked.answer.segmentation.frame.shape, np.float32)
    write_report(asked.answer, record, background, nasty, maps_like(background), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html
    assert "<b>&" not in html
    assert Page(html).text.count("alert(1)") >= 4


def test_a_query_without_core_is_reported(asked, tmp_path):
    segmentation = replace(asked.answer.segmentation, core=np.zeros_like(asked.answer.segmentation.core))
    understood = {"segmentation": "s.nii.gz", "core_labels": [], "whole_labels": [2], "labels": {"2": 12345}}
    write_report(
        replace(asked.answer, patient=replace(asked.answer.patient, segmentation=segmentation)),
        asked.record | {"understood": understood},
        np.zeros(segmentation.frame.shape, np.float32),
        "nothing",
        maps_like(segmentation.core.astype(np.float32)),
        tmp_path,
    )
    text = Page((tmp_path / "report.html").read_text()).text
    assert "core labels none" in text
    assert "2: 12,345 voxels" in text
