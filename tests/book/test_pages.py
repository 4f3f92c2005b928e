"""The pages of the book as a reader's browser shows them."""

import gzip
import re
from functools import cache
from itertools import product

import pytest
import yaml
from browser import ALL_PICTURES, PALE, SHOWN

from zsgan.book.notebooks import BOOK

LIGHT = 1_500_000  # bytes of a page with all its pictures, as a host sends them: text is compressed
WIDTHS = {"desktop": 1250, "phone": 390}


@pytest.fixture(scope="module")
def pages(site):
    """Every page, the reference's included, but for those that only lead to others."""
    found = [str(path.relative_to(site)) for path in sorted(site.rglob("*.html"))]
    pages = [
        name for name in found if not name.startswith("_") and name not in ("index.html", "genindex.html")
    ]
    assert {
        "intro.html",
        "04_results.html",
        "references.html",
        "api.html",
        "api/method.losses.html",
        "architecture.html",
    } <= set(pages)
    return pages


@pytest.fixture(scope="module")
def seen(browser, address, pages):
    """What each page shows in each window, by (page, width, dark).

    A page of the reference, of which there are many, is loaded once, and its window changed.
    """
    found = {}
    for page in pages:
        for number, (width, dark) in enumerate(product(WIDTHS.values(), (False, True))):
            if number > 0 and page.startswith("api/"):
                browser.show(width=width, dark=dark)
            else:
                browser.visit(f"{address}/{page}", width=width, dark=dark)
            browser.run(ALL_PICTURES)
            shown = browser.run(SHOWN)
            if not page.startswith("api/"):  # its pages are alike
                shown |= {"pale": browser.run(PALE), "controls": browser.controls()}
            found[page, width, dark] = shown | {"faults": browser.faults, "requests": browser.requests}
    return found


def test_a_page_loads_without_a_fault_and_from_its_own_host(seen, address):
    for (page, width, dark), shown in seen.items():
        assert shown["faults"] == [], page
        assert f"{address}/{page}" in shown["requests"]
        others = [url for url in shown["requests"] if not url.startswith((address, "data:"))]
        assert others == [], page
        sideways = shown["width"] - width
        assert sideways <= 0, f"{page} scrolls sideways by {sideways} of {width} pixels"
        assert (shown["brightness"] < 60) == dark, page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_page_that_is_too_wide_is_noticed(browser, address, width):
    browser.visit(f"{address}/intro.html", width=width)
    browser.run(
        "document.querySelector('article').append(Object.assign(document.createElement('p'),"
        f" {{style: 'width: {width + 100}px', innerText: 'wide'}}))"
    )
    for shown in (width, *WIDTHS.values(), width):  # also in a window that was another before
        browser.show(width=shown, dark=False)
        assert (browser.run(SHOWN)["width"] > shown) == (width + 100 > shown)


def test_math_is_drawn(seen):
    for (page, *_), shown in seen.items():
        assert shown["raw"] == shown["errors"] == 0, page
    assert sum(shown["drawn"] for shown in seen.values()) > 4 * 50


def test_equations_carry_the_papers_numbers(browser, address):
    for page, number in (("02_variations", 2), ("03_adaptation", 3), ("03_adaptation", 6)):
        browser.visit(f"{address}/{page}.html")
        tags = "[...document.querySelectorAll('mjx-assistive-mml mtd mtext')].map(e => e.textContent)"
        assert f"({number})" in browser.run(tags), page


def test_equations_fit_a_phone(seen):
    for (page, *_), shown in seen.items():
        assert shown["wide"] == [], page


def test_pictures_have_size_and_words(seen):
    pictures = {(page, *picture) for (page, *_), shown in seen.items() for picture in shown["pictures"]}
    for page, source, natural, width, alt in pictures:
        assert natural > 50 and width > 50, f"{page}: {source} is not drawn"
        assert len(alt) > 20, f"{page}: {source} says nothing to those who cannot see it"
    assert len({(page, source) for page, source, *_ in pictures}) >= 10


def test_pictures_keep_their_place_while_a_page_loads(seen):
    for (page, *_), shown in seen.items():
        assert shown["unplaced"] == [], f"{page}: width and height are not those of the picture"


def test_a_page_is_light(seen, site, address):
    @cache
    def sent(url):
        data = (site / url.removeprefix(f"{address}/")).read_bytes()
        return len(data if url.endswith((".webp", ".png", ".woff")) else gzip.compress(data))

    for (page, *_), shown in seen.items():
        loaded = {re.split("[?#]", url)[0] for url in shown["requests"] if url.startswith(address)}
        assert sum(map(sent, loaded)) < LIGHT, page
        assert not [url for url in loaded if "fontawesome" in url or re.search(r"_images/.*\.png", url)], page


def test_icons_are_drawn(seen):
    for (page, *_), shown in seen.items():
        assert shown["undrawn"] == [], page


def test_words_stand_out_from_their_background(seen):
    for (page, width, dark), shown in seen.items():
        assert shown.get("pale", []) == [], f"{page}, {width} pixels wide, dark: {dark}"


def test_controls_have_names_and_buttons_names_that_differ(seen):
    for (page, *_), shown in seen.items():
        names = [tuple(control) for control in shown.get("controls", [])]
        assert all(re.search(r"\w", name) for _, name in names), page
        pressed = [name for role, name in names if role != "link"]
        assert [name for name in pressed if pressed.count(name) > 1] == [], page


def test_a_page_says_what_it_is_to_those_who_link_to_it(pages, site):
    published = yaml.safe_load((BOOK / "_config.yml").read_text())["html"]["baseurl"]
    described = {}
    for page in pages:
        text = (site / page).read_text(encoding="utf-8")
        said = dict(re.findall(r'<meta (?:name|property)="([\w:]+)" content="([^"]*)" />', text))
        if page in ("404.html", "search.html"):
            continue
        assert said["og:url"] == published + page
        assert (site / said["og:image"].removeprefix(published)).is_file()
        described[page] = said["description"]
    assert all(len(text) > 20 for text in described.values())
    assert len(set(described.values())) == len(described)


def test_a_lost_reader_finds_the_first_page_and_the_search(site):
    published = yaml.safe_load((BOOK / "_config.yml").read_text())["html"]["baseurl"]
    text = (site / "404.html").read_text(encoding="utf-8")
    targets = re.findall(r'(?:href|src|action)="([^"]+)"', text)
    assert targets == ["data:,", published, f"{published}search.html"]  # no icon, which would be a file
    assert (site / "search.html").is_file()


def test_links_and_anchors_inside_the_book_lead_somewhere(seen, address, site):
    anchors = {f"{address}/{page}": shown["anchors"] for (page, *_), shown in seen.items()}
    links = {(page, url) for (page, *_), shown in seen.items() for url in shown["links"]}
    inside = [(page, url) for page, url in links if url.startswith(address)]
    assert len(inside) > 100
    for page, url in inside:
        target, _, anchor = url.partition("#")
        assert (site / target.removeprefix(f"{address}/").split("?")[0]).exists(), f"{page} links to {url}"
        if anchor and target in anchors:
            assert anchor in anchors[target], f"{page} links to {url}"


def test_a_dark_page_is_printed_dark_on_white(browser, address):
    browser.visit(f"{address}/03_adaptation.html", dark=True)
    assert browser.run(SHOWN)["brightness"] < 60
    browser.run("dispatchEvent(new Event('beforeprint'))")
    assert browser.run(SHOWN)["brightness"] > 200
    browser.run("dispatchEvent(new Event('afterprint'))")
    assert browser.run(SHOWN)["brightness"] < 60


def test_search_finds_what_the_paper_is_about(browser, address):
    browser.visit(f"{address}/search.html?q=directional+moment")
    # The results come one after the other; the summary says when all are there.
    browser.run(
        "new Promise(done => { const look = () => /finished/.test(document.querySelector('.search-summary')"
        "?.innerText) ? done(true) : setTimeout(look, 50); look(); })"
    )
    found = browser.run("[...document.querySelectorAll('#search-results li a')].map(e => e.textContent)")
    assert any("Stage 2" in title for title in found), found


def test_every_page_of_a_smoke_book_says_that_its_numbers_mean_nothing(seen):
    for (page, *_), shown in seen.items():
        if page == "404.html":
            continue
        assert shown["banner"] and "mean nothing" in shown["banner"], page


def test_a_chapter_offers_itself_on_colab(seen):
    hosted = "https://colab.research.google.com/github/zsgan/zsgan/blob/main/book/03_adaptation.ipynb"
    assert hosted in seen["03_adaptation.html", WIDTHS["desktop"], False]["links"]
