"""The pages of the book as a reader's browser shows them."""

import pytest
from browser import Browser, served

WIDTHS = {"desktop": 1250, "phone": 390}


@pytest.fixture(scope="module")
def site(smoke_book):
    return smoke_book[0] / "build" / "_build" / "html"


@pytest.fixture(scope="module")
def address(site):
    with served(site) as url:
        yield url


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


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


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_page_loads_without_a_fault_and_from_its_own_host(browser, address, pages, width, dark):
    for page in pages:
        browser.visit(f"{address}/{page}", width=width, dark=dark)
        assert browser.faults == [], page
        others = [url for url in browser.requests if not url.startswith((address, "data:"))]
        assert others == [], page
        # Not window.innerWidth, which on a phone grows with what does not fit.
        sideways = browser.run("document.documentElement.scrollWidth") - width
        assert sideways <= 0, f"{page} scrolls sideways by {sideways} pixels"
        assert (browser.run(BRIGHTNESS) < 60) == dark, page


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_a_page_that_is_too_wide_is_noticed(browser, address, width):
    browser.visit(f"{address}/intro.html", width=width)
    browser.run(
        "document.querySelector('article').append(Object.assign(document.createElement('p'),"
        f" {{style: 'width: {width + 100}px', innerText: 'wide'}}))"
    )
    assert browser.run("document.documentElement.scrollWidth") > width


BRIGHTNESS = "Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3))"


def test_math_is_drawn(browser, address, pages):
    drawn = 0
    for page in pages:
        browser.visit(f"{address}/{page}")
        raw, made = browser.run(
            "[[...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length,"
            " document.querySelectorAll('mjx-container svg').length]"
        )
        assert raw == 0, page
        assert browser.run("document.querySelectorAll('[data-mml-node=merror]').length") == 0, page
        drawn += made
    assert drawn > 50


def test_equations_carry_the_papers_numbers(browser, address):
    for page, number in (("02_variations", 2), ("03_adaptation", 3), ("03_adaptation", 6)):
        browser.visit(f"{address}/{page}.html")
        tags = "[...document.querySelectorAll('mjx-assistive-mml mtd mtext')].map(e => e.textContent)"
        assert f"({number})" in browser.run(tags), page


def test_pictures_have_size_and_words(browser, address, pages):
    seen = 0
    for page in pages:
        browser.visit(f"{address}/{page}")
        found = (
            "[...document.querySelectorAll('article img')].map(e => [e.src, e.naturalWidth, e.width, e.alt])"
        )
        for source, natural, shown, alt in browser.run(found):
            assert natural > 50 and shown > 50, f"{page}: {source} is not drawn"
            assert len(alt) > 20, f"{page}: {source} says nothing to those who cannot see it"
            seen += 1
    assert seen >= 10


def test_links_and_anchors_inside_the_book_lead_somewhere(browser, address, pages, site):
    links, anchors = {}, {}
    for page in pages:
        url = f"{address}/{page}"
        browser.visit(url)
        links[page] = browser.run("[...document.querySelectorAll('a[href]')].map(e => e.href)")
        anchors[url] = set(browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)"))
    inside = {(page, url) for page, urls in links.items() for url in urls if url.startswith(address)}
    assert len(inside) > 100
    for page, url in inside:
        target, _, anchor = url.partition("#")
        assert (site / target.removeprefix(f"{address}/").split("?")[0]).exists(), f"{page} links to {url}"
        if anchor and target in anchors:
            assert anchor in anchors[target], f"{page} links to {url}"


def test_search_finds_what_the_paper_is_about(browser, address):
    browser.visit(f"{address}/search.html?q=directional+moment")
    browser.run(
        "new Promise(done => { const look = () => document.querySelector('#search-results li')"
        " ? done(true) : setTimeout(look, 50); look(); })"
    )
    found = browser.run("[...document.querySelectorAll('#search-results li a')].map(e => e.textContent)")
    assert any("Stage 2" in title for title in found), found


def test_every_page_of_a_smoke_book_says_that_its_numbers_mean_nothing(browser, address, pages):
    for page in pages:
        browser.visit(f"{address}/{page}", width=WIDTHS["phone"])
        banner = browser.run("document.querySelector('.bd-header-announcement')?.innerText")
        assert banner and "mean nothing" in banner, page


def test_a_chapter_offers_itself_on_colab(browser, address):
    browser.visit(f"{address}/03_adaptation.html")
    hosted = "https://colab.research.google.com/github/zsgan/zsgan/blob/main/book/03_adaptation.ipynb"
    assert hosted in browser.run("[...document.querySelectorAll('a[href]')].map(e => e.href)")
