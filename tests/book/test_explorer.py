"""The explorers in a browser: dragging shows the pictures and numbers of the runs and formulas."""

import base64
import io
import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from zsgan.base.images import to_array
from zsgan.book.chapters.explorer import LATENTS, SIDE, explorer
from zsgan.book.chapters.turn import first_moment_turn
from zsgan.book.widgets import widget
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.evaluation.measurements import Measurements
from zsgan.method.variations import closed_form_values
from zsgan.networks.sampling import sample_images
from zsgan.runs.profiles import load_profile

NAME, GAP = "dog-to-cat", 4
ROWS = ("L_dir", "L_dm + L_EWC + L_rel")
BIGGEST = 3_000_000

# Once all canvases show what they were last asked for: what a reader sees.
SEEN = """new Promise(done => {
    const live = document.querySelector('.live'), strips = live.querySelectorAll('.strip:not([hidden])');
    const canvases = [...strips].map(e => e.querySelector('canvas'));
    const drawn = () => canvases.every(c => c.dataset.wanted === c.dataset.drawn);
    const look = () => !drawn() ? setTimeout(look, 20) : done({
        step: live.querySelector('.at').textContent,
        numbers: [...live.querySelectorAll('.numbers')].map(e => e.innerText),
        rows: [...live.querySelectorAll('.side select')].map(e => e.selectedOptions[0].text),
        heads: [...strips].map(e => e.querySelector('p').innerText),
        words: canvases.map(e => e.ariaLabel),
        said: live.querySelector('.said').textContent,
        valuetext: live.querySelector('input').ariaValueText,
        pictures: canvases.map(e => e.toDataURL()),
        dots: [...live.querySelectorAll('circle')].map(e => [e.getAttribute('class'), +e.getAttribute('cy')]),
    });
    look();
})"""


def strip(picture: str, across: int = LATENTS) -> np.ndarray:
    """(LATENTS, SIDE, SIDE, 3) pixels of a canvas's images."""
    data = Image.open(io.BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB")
    pixels, cell = np.array(data).astype(int), SIDE + GAP
    places = [divmod(k, across) for k in range(LATENTS)]
    return np.stack([pixels[y * cell :, x * cell :][:SIDE, :SIDE] for y, x in places])


def slide(browser, which: int, value: int, *, touch: bool = False) -> None:
    """Drag the thumb of a slider to another of its values."""
    place = f"""(() => {{
        const slider = document.querySelectorAll('.live input')[{which}];
        slider.scrollIntoView({{block: 'center', behavior: 'instant'}});
        const {{left, width, top, height}} = slider.getBoundingClientRect(), thumb = 16;
        const share = value => (value - slider.min) / (slider.max - slider.min);
        const at = value => [left + thumb / 2 + (width - thumb) * share(value), top + height / 2];
        return [at(+slider.value), at({value})];
    }})()"""
    browser.drag(*browser.run(place), touch=touch)


def choose(browser, select: str, label: str) -> None:
    """Choose from a list by its label."""
    browser.run(f"""(() => {{
        const select = document.querySelector('{select}');
        select.value = [...select.options].findIndex(option => option.text === '{label}');
        select.dispatchEvent(new Event('change'));
    }})()""")


@pytest.fixture(scope="module")
def measured(smoke_book):
    """The measurements of the book's runs."""
    return Measurements(load_profile("smoke"), smoke_book[0] / "runs")


@pytest.fixture(scope="module")
def course(measured):
    return measured.course(NAME).set_index(["row", "step"])


@pytest.fixture(scope="module")
def films(measured):
    """Row -> (steps, LATENTS, SIDE, SIDE, 3) pixels of the run's own images."""

    def pixels(run, step):
        images = sample_images(run.generator(step), LATENTS, seed=SAMPLES_SEED, truncation_psi=1.0)
        return np.stack([to_array(image) for image in images])

    runs = {row: run for row, _, run in measured.bench(NAME).runs if row in ROWS}
    return {row: np.stack([pixels(run, step) for step in range(6)]) for row, run in runs.items()}


@pytest.fixture
def page(browser, address):
    """A fresh load of the explorer's page."""
    browser.visit(f"{address}/12_explorer.html")
    return browser


def shows(seen, course, films, rows, step, across=LATENTS):
    """Check numbers and pictures of two rows at a step."""
    assert seen["step"] == f"{step} of 5" and seen["valuetext"] == f"step {step} of 5"
    assert seen["rows"] == [*rows]
    for row, numbers, picture, words in zip(
        rows, seen["numbers"], seen["pictures"][-2:], seen["words"][-2:], strict=True
    ):
        line = course.loc[(row, step)]
        diversity, rate = f"{line['lpips_avg']:.3f}", f"{line['evaluator_rate']:.2f}"
        fid = f"{line['fid']:.1f}"
        assert numbers.split() == f"diversity {diversity} target rate {rate} FID {fid}".split()
        assert f"{row}: diversity {diversity}, target rate {rate}, FID {fid}." in seen["said"]
        assert f"Step {step}." in seen["said"]
        assert row in words and f"step {step}" in words
        off = [np.abs(strip(picture, across) - images.astype(int)).mean() for images in films[row]]
        assert np.argmin(off) == step and off[step] < 4, off


def test_dragging_shows_the_pictures_and_numbers_of_the_step(page, course, films):
    shows(page.run(SEEN), course, films, ROWS, 5)
    for step in (2, 0, 4):
        slide(page, 0, step)
        shows(page.run(SEEN), course, films, ROWS, step)


def test_a_finger_and_the_arrow_keys_do_the_same(browser, address, course, films):
    browser.visit(f"{address}/12_explorer.html", width=390)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        slide(browser, 0, 3, touch=True)
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    shows(browser.run(SEEN), course, films, ROWS, 3, across=LATENTS // 2)
    browser.run("document.querySelector('.live input').focus()")
    for key, step in (("ArrowLeft", 2), ("Home", 0), ("ArrowRight", 1), ("End", 5)):
        browser.press(key)
        shows(browser.run(SEEN), course, films, ROWS, step, across=LATENTS // 2)
    browser.show(width=1250, dark=True)
    shows(browser.run(SEEN), course, films, ROWS, 5)


def test_any_two_rows_can_be_compared_below_source_and_ideal_answer(page, measured, course, films):
    choose(page, ".side.A select", ROWS[1])
    choose(page, ".side.B select", ROWS[0])
    slide(page, 0, 1)
    seen = page.run(SEEN)
    shows(seen, course, films, ROWS[::-1], 1)
    assert seen["heads"][:2] == ["source: dog", "ideal answers: drawn as cat"]
    source, ideal = (strip(picture) for picture in seen["pictures"][:2])
    drawn = np.stack([to_array(x) for x in measured.bench(NAME).factors.ideal(LATENTS)[:]])
    assert np.abs(source - films[ROWS[0]][0]).mean() < 4 and np.abs(ideal - drawn).mean() < 4


def test_every_control_has_a_name_and_the_keyboard_reaches_it(page):
    found = page.run("""[...document.querySelectorAll('.live select, .live input')]
        .filter(e => e.checkVisibility()).map(e => [e.labels[0].innerText.trim(), e.tabIndex])""")
    assert all(len(name) > 3 and index == 0 for name, index in found)
    assert len({name for name, _ in found}) == len(found) == 3


def test_nothing_is_wider_than_its_place(page):
    wide = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('.widget').parentElement)"
    assert page.run(wide) == 0


def test_a_dark_page_is_not_paled(browser, address):
    """The theme puts a light ground below all other outputs."""
    browser.visit(f"{address}/12_explorer.html", dark=True)
    ground = browser.run(
        "getComputedStyle(document.querySelector('.text_html:has(.widget)')).backgroundColor"
    )
    assert ground == "rgba(0, 0, 0, 0)"


def test_rows_to_compare_that_do_not_exist_are_named(smoke):
    message = r"compare=\['L_dir', 'L_dri'\] must name two of L_dir, L_dm \+ L_EWC \+ L_rel"
    with pytest.raises(ValueError, match=message):
        explorer(Measurements(smoke), ("L_dir", "L_dri"))


def test_without_javascript_the_film_strips_stand_there(browser, address, course):
    browser.visit(f"{address}/12_explorer.html", scripts=False)
    live, tables, pictures = browser.run("""[
        document.querySelectorAll('.live').length,
        [...document.querySelectorAll('.still table')].map(e => e.innerText),
        [...document.querySelectorAll('.still img')].map(e => [e.naturalWidth, e.naturalHeight, e.width]),
    ]""")
    assert live == 0
    for row, table in zip(ROWS, tables, strict=True):
        lines = {line.split("\t")[0]: line.split("\t")[1:] for line in table.splitlines()}
        assert row in table.splitlines()[0]
        assert lines["step"] == [str(step) for step in range(6)]
        assert lines["FID"] == [f"{value:.1f}" for value in course.loc[row]["fid"]]
    for natural, height, width in pictures:
        assert (natural, height) == (6 * SIDE, LATENTS * SIDE) and width > 300


def test_it_works_from_the_disk_and_is_small(browser, site):
    file = site / "12_explorer.html"
    assert file.stat().st_size < BIGGEST
    browser.visit(file.as_uri())
    slide(browser, 0, 2)
    assert browser.run(SEEN)["step"] == "2 of 5"


# Scenarios without a truth, and runs that differ in length


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A page with two scenarios; a film's shade is its row's, darker with each step."""

    def picture(shade: int, steps: int) -> str:
        columns = np.repeat(shade - 20 * np.arange(steps), SIDE).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(np.tile(columns, (LATENTS * SIDE, 1))).save(buffer, "PNG")
        return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"

    def row(label: str, *steps: int) -> dict:
        numbers = [[f"{step / 8:.3f}" for step in steps]]
        return {"label": label, "steps": steps, "numbers": numbers, "picture": label}

    first = {"source": "a", "target": "<b>", "ideal": None}
    second = {"source": "c", "target": "d", "ideal": "truth"}
    scenarios = [
        {**first, "rows": [row("one", 0, 4, 8), row("<two>", 0, 2, 4)]},
        {**second, "rows": [row("three", 0, 8)]},
    ]
    shades = {"one": (250, 3), "<two>": (150, 3), "three": (200, 2), "truth": (99, 1)}
    pictures = {name: picture(*look) for name, look in shades.items()}
    measures = [{"label": "diversity", "hint": "LPIPS"}]
    data = {
        "scenarios": [{**scenario, "measures": measures} for scenario in scenarios], "pictures": pictures,
        "compare": ["one", "<two>"], "latents": LATENTS, "side": SIDE,
    }  # fmt: skip
    file = tmp_path_factory.mktemp("other") / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{widget('explorer', data, 'still').data}")
    return file.as_uri()


def test_a_shorter_run_stays_at_its_end_and_a_scenario_without_truth_has_no_ideal_answer(browser, other):
    browser.visit(other)
    seen = browser.run(SEEN)
    assert browser.faults == []
    assert seen["step"] == "8 of 8" and seen["rows"] == ["one", "<two>"]
    assert seen["heads"][0] == "source: a" and len(seen["pictures"]) == 3
    assert [" ".join(text.split()) for text in seen["numbers"]] == [
        "diversity 1.000", "at its step 4 diversity 0.500"
    ]  # fmt: skip
    assert [round(strip(p).mean()) for p in seen["pictures"]] == [250, 210, 110]
    slide(browser, 0, 1)  # the second of the steps 0, 2, 4, 8
    seen = browser.run(SEEN)
    assert [n.split()[-1] for n in seen["numbers"]] == ["0.000", "0.250"]
    assert [round(strip(p).mean()) for p in seen["pictures"]] == [250, 250, 130]
    (a, low), (b, high) = seen["dots"]
    assert (a, b) == ("A", "B") and low > high  # a larger number is higher up
    choose(browser, ".scenario select", "c → d")
    seen = browser.run(SEEN)
    assert seen["rows"] == ["three", "three"] and seen["step"] == "8 of 8"
    assert [round(strip(p).mean()) for p in seen["pictures"]] == [200, 99, 180, 180]


# Stage 1

TURN = """(() => {
    const all = selector => [...document.querySelectorAll(`.live ${selector}`)];
    return {
        numbers: all('.numbers b').map(e => parseFloat(e.textContent)),
        sliders: all('input').map(e => +e.value),
        corners: all('.simplex .B').map(e => [+e.getAttribute('cx'), +e.getAttribute('cy')]),
        data: document.querySelector('.turn script').textContent,
    };
})()"""


def test_the_simplex_and_the_turn_are_those_of_the_closed_form(browser, address):
    browser.visit(f"{address}/02_variations.html")
    cosine = json.loads(browser.run(TURN)["data"])["cosine"]
    assert 0 < cosine < 1
    for k, steps in ((6, 20), (2, 20), (8, 6), (3, 30)):  # epsilon is a multiple of 0.05
        slide(browser, 0, k)
        slide(browser, 1, steps * 0.05)
        seen, epsilon = browser.run(TURN), steps * 0.05
        assert seen["sliders"] == pytest.approx([k, epsilon])
        turn, near, apart = seen["numbers"]
        lean = epsilon / k**0.5
        assert turn == pytest.approx(first_moment_turn(cosine, k, epsilon), abs=0.051)
        assert near == pytest.approx(closed_form_values(k, epsilon).cos_v, abs=0.0051)
        assert apart == pytest.approx((1 + 2 * lean) / (1 + 2 * lean + epsilon**2), abs=0.0051)
        corners = np.array(seen["corners"])
        assert len(corners) == k and np.abs(corners.mean(0)).max() < 1e-9
        radii = np.linalg.norm(corners, axis=1)
        assert radii == pytest.approx(epsilon * (2 / k if k > 2 else 1 / 2) ** 0.5)


def test_the_turn_follows_the_keys_and_has_a_table_without_javascript(browser, address):
    browser.visit(f"{address}/02_variations.html", width=390)
    browser.run("document.querySelectorAll('.live input')[0].focus()")
    turns = [browser.run(TURN)["numbers"][0]]
    for _ in range(2):
        browser.press("ArrowRight")
        turns.append(browser.run(TURN)["numbers"][0])
    assert all(after < before for before, after in pairwise(turns))
    cosine = json.loads(browser.run(TURN)["data"])["cosine"]
    assert f"{first_moment_turn(cosine):.1f}°" in browser.run(
        "document.querySelector('.turn .still').textContent"
    )
