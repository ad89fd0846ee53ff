"""The report: one valid, self-contained page with the numbers of the exact posteriors."""

import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pgm_control import (
    ClampedGuide,
    FitStatus,
    FreeGuide,
    InvalidArgument,
    Line,
    LinearQuadratic,
    LinearQuadraticModel,
    LineModel,
    Planar,
    PlanarModel,
    TabularModel,
    compare,
    explain,
    fit,
    infer,
    ledger,
    report,
    zoo,
)
from pgm_control.models import frozen_lake, lottery, restaurant, slippery_cliff
from pgm_control.reports.report import report_page
from pgm_control.text.wording import amount

pytestmark = pytest.mark.slow


class Balance(HTMLParser):
    """A parser that records open elements, ids, and the targets of attributes."""

    def __init__(self, page):
        super().__init__()
        self.open, self.ids, self.pointed, self.wrong = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        for value in values.values():
            self.pointed += re.findall(r"url\(#([^)]+)\)", value or "")
        links = [values[key] or "" for key in ("href", "xlink:href") if key in values]
        self.pointed += [each[1:] for each in links if not each.startswith("data:image/png;base64,")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def page():
    return report_page(
        TabularModel(restaurant()), name="dinner <for> two", command="say 'hello' & <more>", settings={"seed": 7}
    )


def test_the_page_is_valid_and_self_contained(page):
    found = Balance(page)
    assert (found.open, found.wrong) == ([], [])
    assert len(set(found.ids)) == len(found.ids)
    assert set(found.pointed) <= set(found.ids)
    assert "http:" not in page
    assert "https:" not in page
    assert "Content-Security-Policy\" content=\"default-src 'none'; style-src" in page
    assert "<script" not in page
    assert "@import" not in page
    assert "dinner &lt;for&gt; two" in page
    assert "say &#x27;hello&#x27; &amp; &lt;more&gt;" in page


def test_the_page_contains_sentences_numbers_and_settings(page):
    model = TabularModel(restaurant())
    for sentence in explain(model).sentences:
        assert html.escape(sentence) in page
    for number in (infer(model, 1.0).log_evidence, infer(model, 0.0).objective):
        assert f"{number:.4f}" in page
    assert f"{ledger(model, infer(model, 0.0)).gap:.3f}" in page
    assert re.search(r"seed</th><td>7<", page)
    assert re.search(r"torch</th><td>2", page)


def test_the_same_arguments_give_the_same_page(page):
    again = report_page(
        TabularModel(restaurant()), name="dinner <for> two", command="say 'hello' & <more>", settings={"seed": 7}
    )
    assert again == page


def test_the_report_of_a_comparison_has_its_fits_and_command(tmp_path):
    found = compare(TabularModel(lottery()), num_steps=40, seed=3, name="lottery", command="pgm-control report lottery")
    path = report(found, path=tmp_path / "new" / "page.html")
    page = path.read_text()
    for row in ("free, exact", "free, fitted", "clamped, exact", "clamped, fitted"):
        assert row in page
    assert "The ELBO of the fits by step." in page
    assert "pgm-control report lottery" in page
    assert "best policy" in page
    assert f"short of the optimum by {amount(found.short_of_optimum('free'))} nats (free)." in page
    assert "Take more steps (<code>num_steps</code>)." in page
    assert "`" not in page
    assert re.search(r"seed</th><td>3<", page)
    with pytest.raises(InvalidArgument, match="`guides` must be left out"):
        report(found, {"free": found.free}, tmp_path / "other.html")


def test_a_fit_near_its_optimum_needs_no_warning():
    found = compare(TabularModel(restaurant()), num_steps=300, seed=0)
    assert FitStatus.out_of_steps in [each.status for each in found.fits.values()]
    assert found.warnings == ()


def test_guides_of_your_own_and_fits():
    model = TabularModel(restaurant())
    guides = {"mine": ClampedGuide(model), "fitted": fit(model, FreeGuide(model), num_steps=5)}
    page = report_page(model, guides)
    assert "<h3>mine</h3>" in page
    assert "The ELBO of the fits by step." in page


@pytest.mark.parametrize("name", ["slippery_cliff", "restaurant_twin", "frozen_lake"])
def test_maps_are_drawn_for_grids_and_gaps_only_if_not_zero(name):
    page = report_page(TabularModel(zoo()[name].build().replace(horizon=6)))
    found = Balance(page)
    assert (found.open, found.wrong) == ([], [])
    assert ("The policies at the first step." in page) is (name != "restaurant_twin")
    assert "by time step (free)" not in page


def test_mistakes_raise_errors_and_write_nothing(tmp_path):
    with pytest.raises(InvalidArgument, match="positive temperature"):
        report(TabularModel(slippery_cliff(), 0.0), path=tmp_path / "page.html")
    for wrong in ({"name": "\ud800"}, {"command": "\udfff"}, {"settings": {"seed": "\ud800"}}):
        with pytest.raises(InvalidArgument, match="must be a string of valid Unicode"):
            report(TabularModel(restaurant()), path=tmp_path / "page.html", **wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_the_page_fits_wide_and_narrow_windows_light_and_dark(browser, tmp_path, width, scheme):
    name = "dinner " + "x" * 200 + "</script><img src=x onerror=alert(1)>"
    guides = {"free": infer(TabularModel(frozen_lake()), 1.0), "a" * 60: infer(TabularModel(frozen_lake()), 0.0)}
    path = report(TabularModel(frozen_lake()), guides, tmp_path / "page.html", name=name, command="y" * 300)
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))  # such as what the content security policy blocks
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelectorAll('image').length") > 0
    assert page.inner_text("h1") == name
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", back))) < 200) == (scheme == "dark")
    card = "getComputedStyle(document.querySelector('figure')).backgroundColor"
    assert page.evaluate(card) == "rgb(255, 255, 255)", "pictures keep their colours"
    assert page.evaluate(
        "[...document.querySelectorAll('figure')].every((each) => each.scrollWidth <= each.clientWidth)"
    )
    for heading in ("true return", "delusion"):
        right = f"[...document.querySelectorAll('th')].find((each) => each.innerText.startsWith('{heading}'))"
        assert page.evaluate(f"{right}.getBoundingClientRect().right") <= width
    context.close()
    assert not said
    assert all(each.startswith(("file:", "data:")) for each in asked)


def test_the_page_of_a_continuous_comparison():
    problem = LinearQuadratic.from_cost(0.9, 0.5, 1.0, 0.2, 0.3, horizon=2, initial_mean=1.0)
    plane = Planar(lambda s: -((s - 1.0) ** 2).sum(-1), 2, 0.2)
    line = Line(lambda s: -(s**2), 2, lambda s, a: 0.3 + 0.0 * a, initial_mean=1.0)
    for model, pictures in (
        (LinearQuadraticModel(problem, 1.0, 1.0), ("The gain of the first action", "The state over time, free")),
        (PlanarModel(plane, 1.0, 0.5), ("Paths of the free and the clamped guide", "ellipses of one standard")),
        (LineModel(line, 1.0, 0.5), ("The state over time, clamped",)),
    ):
        either: Any = model
        found = compare(either, name="a <problem>", command="say it", seed=4)
        page = report_page(found)
        read = Balance(page)
        assert (read.open, read.wrong) == ([], [])
        assert len(set(read.ids)) == len(read.ids)
        assert set(read.pointed) <= set(read.ids)
        assert "a &lt;problem&gt;" in page
        for sentence in found.explanation.sentences:
            assert html.escape(sentence) in page
        for score in found.scorecard.scores.values():
            assert f"{score.true_return:.4f}" in page
        assert f"{ledger(either, found.clamped).gap:.3f}" in page
        assert all(words in page for words in pictures)
        assert ("The error of the meshes" in page) is not isinstance(model, LinearQuadraticModel)
        assert re.search(r"seed</th><td>4<", page)
        assert report_page(found) == page
        with pytest.raises(InvalidArgument, match="`guides` must be left out"):
            report_page(model, {"free": found.free})
