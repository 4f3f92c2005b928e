"""The smoke book as a site, and the browser that looks at it."""

import pytest
from browser import Browser, served


@pytest.fixture(scope="session")
def site(smoke_book):
    return smoke_book[0] / "build" / "_build" / "html"


@pytest.fixture(scope="session")
def address(site):
    with served(site) as url:
        yield url


@pytest.fixture(scope="session")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()
