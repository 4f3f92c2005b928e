"""Every chapter opens with its question and answer, and closes with what was learned and exercises."""

import re
from functools import cache

import pytest

from zsgan.book import contents, notebooks
from zsgan.runs.profiles import load_profile

PLAIN = {"13_colab"}  # a notebook to run, which has no boxes
BOX = re.compile(r"^```\{admonition\} ([^\n]+)\n:class: (\w+)\n\n(.*?)\n```$", flags=re.MULTILINE | re.DOTALL)
SEEN = re.compile(r"^  figure:\n|^```\{csv-table\}", flags=re.MULTILINE)
PAGES = notebooks.chapters()
DEMO = contents.offered(load_profile("demo"))


def chapters(without):
    pages = [page for page in PAGES if page.stem not in without]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


chapter = chapters(PLAIN)


@cache
def cells_of(page, having=None):
    return notebooks.load(page, having).cells


def prose(page, having=None) -> str:
    """The Markdown of a chapter; a cell of code is a line with its tags."""
    return "\n\n".join(
        cell.source if cell.cell_type == "markdown" else f"<code {cell.metadata.get('tags', [])}>"
        for cell in cells_of(page, having)
    )


def boxes(page, having=None) -> dict[str, tuple[str, str]]:
    """Title -> class and text of each box of a chapter."""
    return {title: (kind, text) for title, kind, text in BOX.findall(prose(page, having))}


def test_only_what_has_no_boxes_is_left_out():
    assert {page.stem for page in PAGES} >= PLAIN
    assert all(not boxes(page) for page in PAGES if page.stem in PLAIN)


@chapter
def test_a_chapter_opens_with_its_question_and_answer(page):
    first = next(cell.source for cell in cells_of(page) if cell.source.startswith("# "))
    _, below = first.split("\n\n", maxsplit=1)
    box = BOX.match(below)
    assert box is not None
    title, kind, text = box.groups()
    assert (title, kind) == ("In short", "tip")
    question, answer, minutes = text.split("\n\n")
    assert question.startswith("**Question.** ") and question.endswith("?")
    assert answer.startswith("**Answer.** ")
    if SEEN.search(page.read_text(encoding="utf-8")):
        assert re.search(r"\{numref\}`(fig|table)-", answer)
    own = re.sub(r"\{\w+(:\w+)?\}`.*?`|\]\(.*?\)", "", answer)  # without roles and links
    assert not re.search(r"\d", own), "numbers come by glue"
    assert re.fullmatch(r"\*\d+ minutes to read\.\*", minutes)


@chapter
def test_the_minutes_are_those_of_its_words_and_pictures(page):
    """In the demo's book, which is the longest."""
    text = prose(page, DEMO).split("## Exercises")[0]
    figures = sum("figure" in cell.metadata.get("mystnb", {}) for cell in cells_of(page, DEMO))
    (minutes,) = re.findall(r"(\d+) minutes to read", text)
    assert abs(int(minutes) - (len(text.split()) / 200 + (figures + text.count("```{csv-table}")) / 2)) <= 1


@chapter
def test_a_chapter_closes_with_what_was_learned(page):
    kind, text = boxes(page)["What we learned"]
    assert kind == "important"
    assert 1 <= len(re.findall("^- ", text, flags=re.MULTILINE)) <= 3


@chapter
def test_a_profile_without_a_drawn_truth_has_all_boxes(page):
    """None of them lies in a section that such a profile leaves out."""
    having = frozenset({"ablations"})
    if cells_of(page, having):
        assert boxes(page, having).keys() == boxes(page).keys()


def test_a_chapter_on_photographs_has_all_boxes_but_the_exercise_on_true_answers():
    page = notebooks.BOOK / "15_your_pictures.md"
    of_photographs = boxes(page, frozenset({"pictures", "photographs"}))
    assert of_photographs.keys() == boxes(page).keys() - {"Exercise 2"}
    assert "true answers" in boxes(page)["Exercise 2"][1]


@chapter
def test_every_exercise_has_a_folded_solution_that_checks_itself(page):
    cells = cells_of(page)
    found = [i for i, cell in enumerate(cells) if "```{admonition} Exercise" in cell.source]
    titles = [title for title in boxes(page) if title.startswith("Exercise")]
    assert titles == [f"Exercise {k + 1}" for k in range(len(found))] and 2 <= len(found) <= 3
    for place in found:
        assert cells[place].source.endswith("\n```")
        solution = cells[place + 1]
        assert solution.cell_type == "code" and "assert " in solution.source
        assert solution.metadata.tags == ["hide-cell"]
        assert solution.metadata.mystnb.code_prompt_show == "Solution"


@chapter
def test_a_folded_check_says_so(page):
    for cell in cells_of(page):
        if cell.metadata.get("mystnb", {}).get("code_prompt_show") == "Checked":
            assert cell.metadata.tags == ["hide-input"] and "assert " in cell.source


@chapter
def test_bookkeeping_is_out_of_sight(page):
    for cell in cells_of(page):
        kept = re.search(r"^ *(glue|save_figure|(tables\.)?save_table)\(", cell.source, re.M)
        if cell.cell_type == "code" and kept:
            tags = cell.metadata.get("tags", [])
            assert {"remove-cell", "hide-input"} & {*tags}, cell.source
