"""What a profile lacks is left out of its book: sections, paragraphs, cells, pages and links to them."""

from dataclasses import replace

import nbformat
import pytest
import yaml
from PIL import Image

from zsgan.book import contents, notebooks
from zsgan.runs.profiles import load_profile


def markdown(text, need=None):
    return nbformat.v4.new_markdown_cell(text, metadata={"needs": need} if need else {})


def code(text, need=None):
    return nbformat.v4.new_code_cell(text, metadata={"needs": need} if need else {})


CELLS = [
    markdown("# A chapter"),
    code("everybody = 1"),
    markdown("## The truth\n\nIt is known.", "drawn truth"),
    code("truth = 2"),
    markdown("### A part of it"),
    markdown("More.\n\n## For all\n\nAgain."),
    markdown("Only drawn.", "drawn truth"),
    code("also_drawn = 3", "drawn truth"),
    markdown("The end."),
]


def sources(cells):
    return [cell.source for cell in cells]


def test_a_heading_takes_its_section_along_and_other_cells_only_themselves():
    left = contents.kept(CELLS, ())
    assert sources(left) == ["# A chapter", "everybody = 1", "## For all\n\nAgain.", "The end."]
    assert sources(contents.kept(CELLS, {"drawn truth"})) == sources(CELLS)


def test_a_title_takes_its_chapter_along():
    cells = [markdown("# Drawn", "drawn truth"), code("x = 1"), markdown("## Part\n\nText.")]
    assert contents.kept(cells, {"true images"}) == []


def test_a_target_stays_with_its_heading_and_a_fence_holds_no_heading():
    cells = [
        markdown("## Known", "drawn truth"),
        markdown("$$ a = b $$\n\n```sh\n# no heading\n```\n\n(there)=\n## For all"),
    ]
    assert sources(contents.kept(cells, ())) == ["(there)=\n## For all"]


def test_an_unknown_need_is_named():
    with pytest.raises(ValueError, match="needs='luck' is unknown; choose one of drawn truth, demo, "):
        contents.kept([markdown("Text.", "luck")], ())


def test_a_page_of_prose_is_cut_in_the_same_way():
    text = 'First.\n\n+++ {"needs": "drawn truth"}\n\nDrawn.\n\n+++\n\nLast.\n'
    assert contents.plain(text, ()) == "First.\n\nLast."
    assert contents.plain(text, {"drawn truth"}) == "First.\n\nDrawn.\n\nLast."


def test_links_to_pages_that_are_left_out_are_words_and_others_stay():
    text = (
        "See [a world](06_world.ipynb), [a part](06_world.ipynb#part), [Results](04_results.ipynb), [x](#y)."
    )
    assert contents.unlinked(text, {"06_world"}) == (
        "See a world, a part, [Results](04_results.ipynb), [x](#y)."
    )


def test_the_table_of_contents_has_a_books_pages_and_no_empty_part():
    toc = {
        "root": "intro",
        "parts": [
            {"caption": "One", "chapters": [{"file": "a"}, {"file": "b"}]},
            {"caption": "Two", "chapters": [{"file": "c"}]},
        ],
    }
    left = yaml.safe_load(contents.table_of_contents(yaml.safe_dump(toc), {"a"}))
    assert left == {"root": "intro", "parts": [{"caption": "One", "chapters": [{"file": "a"}]}]}


def test_what_a_profile_offers(tmp_path):
    demo, paper = load_profile("demo"), load_profile("paper")
    drawn = {"pictures", "drawn pictures"}
    assert contents.offered(demo) == {"drawn truth", "demo", "true images", "ablations", *drawn}
    assert contents.offered(paper) == frozenset()
    assert contents.offered(load_profile("colab")) == {"colab"}
    truth = {"species": "fox", "style": "photo"}
    other = replace(demo.scenarios["dog-to-cat"], target_text="fox", truth=truth)
    found = contents.offered(replace(demo, scenarios={"dog-to-fox": other}))
    assert found == {"drawn truth", "true images", "ablations"}
    scenario = replace(paper.scenarios["dog-to-cat"], truth={"folder": str(tmp_path)})
    assert contents.offered(replace(paper, scenarios={"dog-to-cat": scenario})) == {"true images"}
    Image.new("RGB", (8, 8)).save(tmp_path / "rex.png")
    of_readers = {"pictures", "photographs"}
    assert contents.offered(replace(paper, photographs=str(tmp_path))) == of_readers
    assert contents.offered(replace(demo, photographs=str(tmp_path))) >= {"demo", *of_readers}
    assert "drawn pictures" not in contents.offered(replace(demo, photographs=str(tmp_path)))


def test_the_papers_book_has_the_chapters_on_the_paper():
    names = [page.stem for page in notebooks.chapters(having=())]
    about_it = ["01_problem", "02_variations", "03_adaptation", "04_results"]
    assert names == [*about_it, "10_real_weights", "12_explorer", "13_colab"]
    more = [page.stem for page in notebooks.chapters(having={"ablations"})]
    assert more == sorted([*names, "05_ablations"])
    more = [page.stem for page in notebooks.chapters(having={"pictures", "photographs"})]
    assert more == sorted([*names, "15_your_pictures"])


def test_chapters_of_any_profile_name_no_species_of_the_demo_in_their_code():
    """Texts, rows and scenarios come from the profile, and switches from its ablations."""
    having = {"ablations", "pictures", "photographs"}
    for page in notebooks.chapters(having=having):
        for cell in notebooks.load(page, having).cells:
            if cell.cell_type == "code" and page.stem != "10_real_weights":
                words = ('"dog"', '"cat"', '"dog-to-cat"', "profile ==", '"as read here"', '"stage 1: ')
                assert not any(word in cell.source for word in words), f"{page.stem}: {cell.source}"
