"""Every chapter opens with its question and answer, and closes with what was learned and exercises."""

import re

import pytest

from zsgan.book import notebooks

BOXED = ("01_problem", "06_world", "07_equal_adaptation", "08_guides", "09_stopping", "15_your_pictures")
OPENED = ("02_variations", "03_adaptation", "04_results", "05_ablations", *BOXED)
BOX = re.compile(r"^```\{admonition\} ([^\n]+)\n:class: (\w+)\n\n(.*?)\n```$", flags=re.MULTILINE | re.DOTALL)


def chapters(names):
    pages = [page for page in notebooks.chapters() if page.stem in names]
    return pytest.mark.parametrize("page", pages, ids=lambda page: page.stem)


chapter, opened = chapters(BOXED), chapters(OPENED)


def prose(page) -> str:
    """The Markdown of a chapter; a cell of code is a line with its tags."""
    cells = notebooks.load(page).cells
    return "\n\n".join(
        cell.source if cell.cell_type == "markdown" else f"<code {cell.metadata.get('tags', [])}>"
        for cell in cells
    )


def boxes(page) -> dict[str, tuple[str, str]]:
    """Title -> class and text of each box of a chapter."""
    return {title: (kind, text) for title, kind, text in BOX.findall(prose(page))}


@opened
def test_a_chapter_opens_with_its_question_and_answer(page):
    first = next(cell.source for cell in notebooks.load(page).cells if cell.source.startswith("# "))
    _, below = first.split("\n\n", maxsplit=1)
    box = BOX.match(below)
    assert box is not None
    title, kind, text = box.groups()
    assert (title, kind) == ("In short", "tip")
    question, answer, minutes = text.split("\n\n")
    assert question.startswith("**Question.** ") and question.endswith("?")
    assert answer.startswith("**Answer.** ") and re.search(r"\{numref\}`(fig|table)-", answer)
    assert not re.search(r"\d", re.sub(r"\{\w+(:\w+)?\}`.*?`", "", answer)), "numbers come by glue"
    assert re.fullmatch(r"\*\d+ minutes to read\.\*", minutes)


@opened
def test_the_minutes_are_those_of_its_words_and_pictures(page):
    text, code = prose(page).split("## Exercises")[0], page.read_text(encoding="utf-8")
    seen = code.count("  figure:\n") + code.count("```{csv-table}")
    (minutes,) = re.findall(r"(\d+) minutes to read", text)
    assert abs(int(minutes) - (len(text.split()) / 200 + seen / 2)) <= 1


@chapter
def test_a_chapter_closes_with_what_was_learned(page):
    kind, text = boxes(page)["What we learned"]
    assert kind == "important"
    assert 1 <= len(re.findall("^- ", text, flags=re.MULTILINE)) <= 3


@chapter
def test_every_exercise_has_a_folded_solution_that_checks_itself(page):
    cells = notebooks.load(page).cells
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
    for cell in notebooks.load(page).cells:
        if cell.metadata.get("mystnb", {}).get("code_prompt_show") == "Checked":
            assert cell.metadata.tags == ["hide-input"] and "assert " in cell.source


@chapter
def test_bookkeeping_is_out_of_sight(page):
    for cell in notebooks.load(page).cells:
        if cell.cell_type == "code" and re.search(r"^ *(glue|save_figure|save_table)\(", cell.source, re.M):
            tags = cell.metadata.get("tags", [])
            assert {"remove-cell", "hide-input"} & {*tags}, cell.source
