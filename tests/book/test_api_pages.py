import re
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import zsgan
import zsgan.adaptation.config
from zsgan.book import api_pages
from zsgan.book.architecture import ADDING, FOLDERS

PAGES = api_pages.pages()
PACKAGE = Path(zsgan.__file__).parent


def test_every_module_has_a_page_and_a_line_in_the_index():
    modules = {
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
        for file in PACKAGE.rglob("*.py")
    }
    lines = re.findall(r"^- \[`(\S+)`\]\((\S+)\): (.+)$", PAGES["api.md"], flags=re.MULTILINE)
    assert {name for name, _, _ in lines} == modules
    assert {page for _, page, _ in lines} | {"api.md", "architecture.md"} == PAGES.keys()
    for name, page, summary in lines:
        assert f".. automodule:: {name}\n" in PAGES[page]
        assert summary == import_module(name).__doc__.split("\n")[0].replace("``", "`").replace(":mod:", "")


def test_a_reference_names_a_function_or_class_where_it_is_defined():
    """The pages have them there alone; the book's own test says the same, after minutes."""
    references = re.compile(r":(?:func|class):`(?:[^`<]*<)?(zsgan\.[\w.]+)>?`")
    named = {name for file in PACKAGE.rglob("*.py") for name in references.findall(file.read_text("utf-8"))}
    assert len(named) > 50
    for name in named:
        found = resolve_name(name)
        found = getattr(found, "__wrapped__", found)
        assert f"{found.__module__}.{found.__qualname__}" == name


def test_the_index_opens_with_five_functions_that_everyone_can_import():
    entries = re.findall(
        r"^- {py:func}`zsgan\.(\w+) <zsgan\.(\S+)>`: \S", PAGES["api.md"], flags=re.MULTILINE
    )
    assert len(entries) == 5
    for name, place in entries:
        module, _, function = place.rpartition(".")
        assert getattr(zsgan, name) is getattr(import_module(f"zsgan.{module}"), function)


def test_lengths_and_absolute_values_are_no_substitutions():
    lines = ["cos of |t| and ``a | b``, 1 / |t|", "``|z|``"]
    api_pages._escape(None, "function", "f", None, None, lines)
    assert lines == [r"cos of \|t\| and ``a | b``, 1 / \|t\|", "``|z|``"]


def test_settings_stand_with_their_comments_in_place_of_a_signature():
    lines = []
    api_pages._add_settings(
        None, "class", "zsgan.adaptation.config.Optimiser", zsgan.adaptation.config.Optimiser, None, lines
    )
    assert "    lr: Positive = 0.002  # sec. 4.1" in lines
    shorten = (None, "class", "name", zsgan.adaptation.config.Optimiser, None, "(lr: Annotated[...])", None)
    assert api_pages._shorten(*shorten) == ("", None)
    assert api_pages._shorten(*shorten[:3], dict, *shorten[4:]) is None


def test_the_architecture_names_every_folder_and_what_there_is():
    page = PAGES["architecture.md"]
    assert re.findall(r"^- \*\*(\w+)/\*\*: \S", page, flags=re.MULTILINE) == list(FOLDERS)
    assert all(import_module(module) for _, module, _ in ADDING)
    links = set(re.findall(r"\]\((api/\S+?)\)", page))
    assert links <= PAGES.keys() and len(links) > 100
