import json
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from suture.codegen.render import render
from suture.driver.drawing import draw_front, draw_plan
from suture.driver.report import pass_bars, write_report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


class Page(HTMLParser):
    """Headings, links to elsewhere, and tags left open."""

    def __init__(self):
        super().__init__()
        self.open, self.headings, self.outside = [], [], []

    def handle_starttag(self, tag, attributes):
        self.outside += [v for k, v in attributes if k in ("src", "href")]
        if tag not in ("meta", "br", "img", "circle", "rect", "path", "polyline", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings.append(data.strip())


@pytest.fixture(scope="module")
def page(compilation, tmp_path_factory):
    return write_report(compilation, tmp_path_factory.mktemp("report"))


def test_the_page_is_whole_and_self_contained(page):
    found = Page()
    found.feed(page.read_text("utf-8"))
    assert found.open == []
    assert found.outside == []
    assert found.headings[0] == "digits"
    wanted = {"The request", "The plan", "Every plan, weighed", "Passes", "Packages"}
    assert wanted <= set(found.headings)
    assert "Backends and kernels" in found.headings
    assert "MB at most in a process that runs the package" in page.read_text("utf-8")


def test_the_document_beside_it(page, compilation):
    document = json.loads((page.parent / "report.json").read_text("utf-8"))
    assert document["name"] == "digits"
    assert document["profile"]["steps"] == ["denoise", "deskew"]
    assert [plan["chosen"] for plan in document["plans"]].count(True) == 1
    for entry in document["passes"]:
        removed = entry["nodes_before"] - entry["nodes_after"]
        assert removed == 0 or entry["made"]


def test_drawings_are_xml(compilation):
    planned = compilation.planned
    plan = planned.chosen.estimate.plan
    drawn = ElementTree.fromstring(draw_plan(plan))
    boxes = drawn.findall(".//{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == len(plan.steps) + 1
    front = ElementTree.fromstring(draw_front(planned.weighed))
    dots = front.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(dots) == len(planned.weighed)
    assert [dot.get("class") for dot in dots].count("chosen") == 1
    size = [float(front.get(key)) for key in ("width", "height")]
    assert all(0 <= float(dot.get("cx")) <= size[0] for dot in dots)
    assert all(0 <= float(dot.get("cy")) <= size[1] for dot in dots)


def test_bars_add_up(compilation):
    for bar in pass_bars(compilation.built[0].rewritten.records):
        assert 0 <= bar["gone"] <= bar["left"] + bar["gone"] <= 100


def test_what_goes_into_a_page_is_escaped(tmp_path, monkeypatch):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "x.html.j2").write_text("<p>{{ name }}</p>\n")
    monkeypatch.setattr("suture.codegen.render.files", lambda package: tmp_path)
    assert render("page", "x.html", name="<script>") == "<p>&lt;script&gt;</p>\n"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_the_page_in_a_browser(page, tmp_path):
    shot = tmp_path / "shot.png"
    command = [
        *(CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}"),
        *("--window-size=1240,2000", f"--screenshot={shot}", page.as_uri()),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    pixels = np.asarray(Image.open(shot).convert("RGB"), np.int64)
    assert pixels.shape == (2000, 1240, 3)
    main = np.abs(pixels - (0x24, 0x56, 0xC8)).sum(2) < 20
    assert main.sum() > 500, "the chosen plan's blue is nowhere to be seen"
    ink = np.abs(pixels - (0x1D, 0x24, 0x33)).sum(2) < 60
    assert ink.sum() > 2000, "there is hardly any text"
