"""The paper's book from files in the published formats: fetched, planned, killed once, made, looked at."""

import csv
import json
import re
import signal
import time
from pathlib import Path

import nbformat
import pytest
from browser import ALL_PICTURES, SHOWN, Browser, served
from place import Place

from zsgan.report.tables import ABSENT

PAGES = {"intro", "01_problem", "02_variations", "03_adaptation", "04_results", "figure_by_figure"}
"""Pages that every book of the paper has, among others."""
PHOTOGRAPHS = frozenset({"15_your_pictures"})
"""The page that a book has where the profile names photographs."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A place where the networks have been fetched."""
    place = Place(tmp_path_factory.mktemp("rehearsal"))
    with served(place.served) as host:
        place.write_networks(host)
        assert "zsgan fetch generator-afhq-dog" in place.zsgan("reproduce", fails=True)
        place.fetch()
    return place


@pytest.fixture(scope="module")
def book(place):
    """The pages, of a call that was killed when the first run was finished, and of one that went on."""
    process = place.begin("reproduce")
    while not (made := _finished(place)):
        assert process.poll() is None, process.communicate()[1][-4000:]
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    place.zsgan("reproduce")
    assert {file: time for file, time in _finished(place).items() if file in made} == made
    return place.folder / "build" / "_build" / "html"


def _finished(place: Place) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in place.folder.glob("runs/*/provenance.json")}


def _table(place: Place, name: str, build: str = "build") -> dict[str, dict[str, str]]:
    """A table of a book by row."""
    file = place.folder / build / "rehearsal" / "figures" / f"{name}.csv"
    with file.open(newline="", encoding="utf-8") as lines:
        return {next(iter(line.values())): line for line in csv.DictReader(lines)}


def _look(site: Path, browser: Browser, more: frozenset[str] = frozenset()) -> None:
    """Open every page of a book but the reference's, on a desktop and on a phone."""
    pages = [page for page in sorted(site.glob("*.html")) if page.stem not in ("index", "genindex", "404")]
    names = {page.stem for page in pages}
    assert names >= PAGES and {name for name in names if name.endswith("your_pictures")} == more
    with served(site) as address:
        for page in pages:
            browser.visit(f"{address}/{page.name}")
            browser.run(ALL_PICTURES)
            for width in (1250, 390):
                browser.show(width=width, dark=False)
                shown = browser.run(SHOWN)
                assert not browser.faults and shown["raw"] == shown["errors"] == 0, page.name
                assert shown["width"] <= width, f"{page.name} scrolls sideways at {width} px"
                assert "mean nothing" in shown["banner"]
                for source, natural, drawn, words in shown["pictures"]:
                    assert natural > 50 and drawn > 50 and len(words) > 20, source


@pytest.fixture(scope="module")
def with_images(place, book):
    """The folder of a second book, with true images and photographs; and the runs that the first had."""
    before = _finished(place)
    place.draw_images()
    place.zsgan("reproduce", "--build", "with-images")
    return place.folder / "with-images", before


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def test_a_dead_address_and_another_format_are_no_obstacles(place):
    clips = place.folder / "home" / "clip"
    assert (clips / "ViT-B-32.pt").read_bytes()[8:9] == b"{"  # open_clip's safetensors
    assert (clips / "ViT-B-16.pt").read_bytes()[:2] == b"PK"  # OpenAI's archive


def test_the_plan_counts_runs_and_finds_that_no_file_is_missing(place):
    plan = json.loads(place.zsgan("plan", "--json"))
    assert len(plan["jobs"]) == 10 and not any(job["finished"] for job in plan["jobs"])
    assert all(file["there"] for file in plan["files"])


def test_the_book_without_true_images(place, book, browser):
    _look(book, browser)
    table = _table(place, "table1")
    measured = {row for row, line in table.items() if line["rehearsal Avg."] != ABSENT}
    assert measured > {"L_dir", "L_dm + L_EWC + L_rel"} and "Ojha et al., 10-shot" not in measured
    assert not any("FID" in column for column in table["L_dir"])


def test_the_papers_figures_and_tables_are_made(place, book):
    figures = place.folder / "build" / "rehearsal" / "figures"
    stems = {path.stem for path in figures.glob("*.json")}
    assert stems >= {"hero", "fig1", "fig2", "filmstrip", "fig3a", "fig4", "courses"}
    assert stems >= {"table1", "table_ladder", "shares_table"}
    assert not stems & {"factors", "dial", "guides", "frontier"}
    assert json.loads((figures / "fig4.json").read_text())["scenario"] == "dog-to-cat"
    assert _table(place, "table1")["L_dm + L_EWC + L_rel"]["paper Avg."] == "0.507 ± 0.016"


def test_the_explorer_has_every_scenario_and_row_but_no_ideal_answer_and_no_fid(place, book):
    cells = nbformat.read(place.folder / "build" / "executed" / "12_explorer.ipynb", as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    (page,) = (output.data["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    data = json.loads(page.partition('<script type="application/json">')[2].partition("</script>")[0])
    strips = re.findall(r'data-film="(.*?)"', page)
    assert [scenario["name"] for scenario in data["scenarios"]] == ["dog-to-cat", "church-to-store"]
    for scenario in data["scenarios"]:
        assert scenario["ideal"] is None and len(scenario["rows"]) == 5
        assert [measure["label"] for measure in scenario["measures"]] == ["diversity", "target rate"]
        for row in scenario["rows"]:
            assert row["steps"] == [0, 1] and row["picture"] in {*data["pictures"], *strips}


def test_the_book_with_true_images_and_photographs(with_images, browser):
    folder, _ = with_images
    _look(folder / "_build" / "html", browser, PHOTOGRAPHS)


def test_true_images_add_their_measures_and_a_row_and_remake_no_run(place, with_images):
    folder, before = with_images
    after = _finished(place)
    assert len(after) == len(before) + 1  # the row that images guide
    assert {file: after[file] for file in before} == before
    table, others = (_table(place, name, folder.name) for name in ("table1", "table_target"))
    assert float(others["L_dir"]["FD-DINOv2"]) >= 0
    assert float(table["L_dir"]["FID"]) >= 0 and table["true target"]["FID"] != ABSENT
    assert table["Ojha et al., 10-shot"]["rehearsal Avg."] != ABSENT
    text = (folder / "_build" / "html" / "04_results.html").read_text(encoding="utf-8")
    assert "a collapse has two cures" in text and "a collapse has two cures" not in (
        place.folder / "build" / "_build" / "html" / "04_results.html"
    ).read_text(encoding="utf-8")


def test_figure_7_is_made_of_the_photographs(place, with_images):
    folder, _ = with_images
    figures = folder / "rehearsal" / "figures"
    made = json.loads((figures / "fig7.json").read_text(encoding="utf-8"))
    assert len(made["runs"]) == 2 and set(made["runs"]) <= {file.parent.name for file in _finished(place)}
    assert {"generator-afhq-dog", "vgg16", "inception", "ViT-B-32/openai"} == set(made["weights"])
    table = _table(place, "own_photographs_table", folder.name)
    assert list(table) == ["IMG_0001", "rex", "mean"]
    for line in table.values():
        assert float(line["PSNR, w+"]) > 0 and float(line["LPIPS, w"]) > 0
        for row in ("directional loss", "full method"):
            assert -1 <= float(line[f"kept, Dog → Cat, {row}"]) <= 1
    page = (folder / "_build" / "html" / "15_your_pictures.html").read_text(encoding="utf-8")
    assert 'id="fig-7"' in page and 'id="table-7"' in page and "true answer" not in page
