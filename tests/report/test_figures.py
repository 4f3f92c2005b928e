import base64
import io
import json
import math
import os
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import seaborn as sns
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from zsgan.assets.manifest import ROOT, asset
from zsgan.base.files import libraries
from zsgan.base.images import to_array
from zsgan.report.figures import (
    PALETTE,
    curves,
    dots,
    film_strips,
    heat_maps,
    image_grid,
    save_figure,
    stretch_rates,
    use_style,
)
from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.tables import latex, markdown, plus_minus, readings_tables, save_table

PROVENANCE = {"profile": "smoke", "runs": {"L_dir, seed 0": "abc"}}


FIGURES = ROOT / "figures"


@pytest.fixture(autouse=True)
def closed():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


@pytest.fixture
def data():
    return pd.DataFrame(
        {
            "row": ["L_dir"] * 4 + ["L_dm"] * 4,
            "seed": [0, 0, 1, 1] * 2,
            "step": [0, 10] * 4,
            "sse": [4.0, 1.0, 6.0, 3.0, 5.0, 4.0, 5.0, 8.0],
        }
    )


def images(n=3, value=0.0):
    return torch.full((n, 3, 8, 8), value)


def grid():
    rows = {"source": torch.linspace(-1, 1, 576).view(3, 3, 8, 8), "L_dir": images()}
    return image_grid(rows)


# Figures


@pytest.mark.parametrize("kind", ["grid", "curves"])
def test_a_figure_is_the_same_bytes_every_time(tmp_path, data, kind):
    def make(folder):
        figure = (
            grid() if kind == "grid" else curves(data, "step", "sse", ["L_dir", "L_dm"], xlabel="", ylabel="")
        )
        save_figure(figure, "fig", folder, alt="a picture", provenance=PROVENANCE)
        plt.close(figure)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    first, second = make(tmp_path / "one"), make(tmp_path / "two")
    assert first == second and set(first) == {"fig.png", "fig.svg", "fig.json"}
    assert Image.open(io.BytesIO(first["fig.png"])).size[0] > 200
    assert first["fig.svg"].startswith(b"<?xml") and b"<dc:date>" not in first["fig.svg"]


def test_an_svg_holds_the_images_pixel_by_pixel(tmp_path):
    figure = grid()
    strips = [axis.images[0] for axis in figure.axes]
    before = [strip.get_interpolation() for strip in strips]
    save_figure(figure, "fig", tmp_path, alt="", provenance={})
    embedded = re.findall(rb"data:image/png;base64,([^\"]+)", (tmp_path / "fig.svg").read_bytes())
    for strip, text in zip(strips, embedded, strict=True):
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))
        assert (picture == strip.get_array()).all() or (picture[::-1] == strip.get_array()).all()
    assert [strip.get_interpolation() for strip in strips] == before  # as it was, for the notebook
    assert "none" not in before


def test_an_svg_of_large_images_stays_small(tmp_path):
    """Those of 1024 px are four times as wide as a figure shows them."""
    half = torch.cat([torch.ones(2, 3, 600, 300), -torch.ones(2, 3, 600, 300)], 3)
    figure = image_grid({"row": half}, columns=["one", "other"])
    save_figure(figure, "fig", tmp_path, alt="a", provenance={})
    (embedded,) = re.findall(rb"data:image/png;base64,([^\"]+)", (tmp_path / "fig.svg").read_bytes())
    with Image.open(io.BytesIO(base64.b64decode(embedded))) as picture:
        assert picture.size == (2 * 256 + 2, 256)
        assert [picture.convert("L").getpixel((x, 99)) for x in (9, 247, 267, 505)] == [255, 0, 255, 0]
    (axis,) = figure.axes
    assert axis.get_xticks().tolist() == [128, 256 + 2 + 128]


def test_the_colours_are_seaborns_and_indigo():
    assert set(PALETTE) == {*sns.color_palette("colorblind").as_hex(), "#332288"}


def cielab(rgb):
    """(N, 3) colours in [0, 1] as CIELAB of white point D65."""
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = linear @ np.array(to_xyz).T / (0.9505, 1, 1.089)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116).T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)


def test_the_first_six_colours_are_apart_in_light_and_dark():
    css = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    (amount,) = re.findall(r"img\.chart \{\s*filter: invert\((.+)\) hue-rotate\(180deg\);", css)
    turned = np.array([[-0.574, 1.43, 0.144], [0.426, 0.43, 0.144], [0.426, 1.43, -0.856]])  # filter-effects
    light = np.array([to_rgb(colour) for colour in ("black", *PALETTE[:6])])
    dark = np.clip((float(amount) + (1 - 2 * float(amount)) * light) @ turned.T, 0, 1)
    for colours in (light, dark):
        lab = cielab(colours)
        apart = np.linalg.norm(lab[:, None] - lab, axis=-1)
        assert apart[~np.eye(7, dtype=bool)].min() > 28


def test_the_sidecar_says_what_made_the_figure(tmp_path):
    save_figure(grid(), "fig", tmp_path, alt="Dogs above, cats below", provenance=PROVENANCE)
    sidecar = json.loads((tmp_path / "fig.json").read_text())
    assert sidecar["alt"] == "Dogs above, cats below"
    assert sidecar["runs"] == PROVENANCE["runs"] and sidecar["profile"] == "smoke"
    assert sidecar["versions"] == libraries()


def test_a_figure_can_be_shown_after_it_was_saved(tmp_path):
    figure = grid()
    save_figure(figure, "fig", tmp_path, alt="", provenance={})
    assert plt.fignum_exists(figure.number)


def test_the_grid_shows_the_images_in_their_places():
    random = torch.Generator().manual_seed(0)
    rows = {label: torch.rand(3, 3, 8, 8, generator=random) * 2 - 1 for label in ("source", "L_dir")}
    axes = image_grid(rows, columns=["a", "b", "c"]).axes
    for axis, (label, row) in zip(axes, rows.items(), strict=True):
        strip = axis.images[0].get_array()
        assert strip.shape == (8, 28, 3)  # 3 images with gaps of 2 pixels
        assert axis.get_title(loc="left") == label
        for j, image in enumerate(row):
            assert (strip[:, 10 * j : 10 * j + 8] == to_array(image)).all()
        assert (strip[:, 8:10] == 255).all()
    assert all(10 * j < x < 10 * j + 8 for j, x in enumerate(axes[0].get_xticks()))  # where the labels are
    assert [label.get_text() for label in axes[0].get_xticklabels()] == ["a", "b", "c"]
    assert not axes[1].get_xticklabels() and not image_grid(rows).axes[0].get_xticklabels()


def test_rows_of_a_grid_can_stand_under_headings():
    rows = {"dog → cat": {"source": images(), "L_dir": images()}, "cat → dog": {"source": images()}}
    axes = image_grid(rows, columns=["a", "b", "c"]).axes
    assert [[text.get_text() for text in axis.texts] for axis in axes] == [
        ["dog → cat"], [], [], ["cat → dog"], []
    ]  # fmt: skip
    assert [axis.get_title(loc="left") for axis in axes] == ["", "source", "L_dir", "", "source"]
    assert [len(axis.images) for axis in axes] == [0, 1, 1, 0, 1]
    assert [label.get_text() for label in axes[1].get_xticklabels()] == ["a", "b", "c"]


def test_labels_of_a_grid_are_legible_on_a_phone():
    """At least 9 pixels high where a phone shows ten columns 350 pixels wide."""
    figure = image_grid({"source": images(10)}, size=0.65)
    (label,) = [text for text in figure.findobj(Text) if text.get_text() == "source"]
    assert label.get_fontsize() / 72 / figure.get_figwidth() * 350 > 9


def test_a_grid_needs_a_label_for_each_column():
    with pytest.raises(ValueError, match="columns must be one label for each of the 3 images .*, got 2"):
        image_grid({"source": images(3)}, columns=["a", "b"])


@pytest.mark.parametrize(
    ("rows", "counts"),
    [({"a": images(3), "b": images(2)}, r"\[2, 3\]"), ({}, r"\[\]")],
    ids=["uneven", "none"],
)
def test_a_grid_needs_as_many_images_in_each_row(rows, counts):
    with pytest.raises(ValueError, match=f"rows must hold the same number of images each, got {counts}"):
        image_grid(rows)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (torch.zeros(2, 3, 8, 8), TypeError, "rows must map labels to images, got Tensor; write"),
        ({"a": "dog"}, TypeError, "images must be a tensor .* got str"),
        ({"a": torch.zeros(2, 3, 8, 8).byte()}, TypeError, "got torch.uint8"),
    ],
)
def test_a_grid_says_what_it_needs(rows, error, message):
    with pytest.raises(error, match=message):
        image_grid(rows)


def test_rows_of_a_grid_may_come_from_generators_of_several_sizes():
    figure = image_grid({"a": torch.zeros(2, 3, 8, 8), "b": torch.zeros(2, 3, 64, 64)})
    small, large = (axis.get_images()[0].get_array().shape[0] for axis in figure.axes)
    assert (small, large) == (8, 64)
    figure.draw_without_rendering()
    widths = [axis.get_window_extent().width for axis in figure.axes]
    assert widths[0] == pytest.approx(widths[1], rel=0.15)


def test_curves_are_means_over_seeds_with_a_band_of_their_range(data):
    figure = curves(data, "step", "sse", ["L_dm", "L_dir"], xlabel="iterations", ylabel="SSE")
    (axis,) = figure.axes
    assert [line.get_label() for line in axis.lines] == ["L_dm", "L_dir"]
    assert [line.get_xydata().tolist() for line in axis.lines] == [[[0, 5], [10, 6]], [[0, 5], [10, 2]]]
    corners = [{tuple(vertex) for vertex in band.get_paths()[0].vertices} for band in axis.collections]
    assert corners == [{(0, 5), (10, 4), (10, 8)}, {(0, 4), (0, 6), (10, 1), (10, 3)}]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("iterations", "SSE")


def test_film_strips_put_steps_side_by_side_with_their_texts():
    shades = torch.linspace(-1, 1, 6).view(3, 2, 1, 1, 1).expand(3, 2, 3, 8, 8)
    texts = ["0", "10", "20"]
    figure = film_strips({"one": shades, "two": -shades}, {"one": texts, "two": ["a", "b", "c"]})
    first, second = figure.axes
    sheet = first.images[0].get_array()
    assert sheet.shape == (18, 28, 3)
    for step in range(3):
        for row in range(2):
            expected = to_array(shades[step, row])[0, 0]
            assert (sheet[10 * row + 4, 10 * step + 4] == expected).all()
    assert (sheet[8:10] == 255).all() and (sheet[:, 8:10] == 255).all()
    assert [tick.get_text() for tick in first.get_xticklabels()] == texts
    assert first.get_xticks().tolist() == [4, 14, 24]
    assert [axis.get_title(loc="left") for axis in (first, second)] == ["one", "two"]


def test_film_strips_of_other_sizes_or_texts_are_refused():
    strip = torch.zeros(2, 1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"strips must have one size and a text for each step"):
        film_strips({"one": strip, "two": torch.zeros(2, 2, 3, 8, 8)}, {"one": ["a", "b"], "two": ["a", "b"]})
    with pytest.raises(ValueError, match=r"\[1\] texts"):
        film_strips({"one": strip}, {"one": ["a"]})


def test_rates_are_stretched_near_one():
    _, axis = plt.subplots()
    stretch_rates(axis)
    there = axis.transData + axis.transAxes.inverted()
    places = there.transform([(rate, 0) for rate in (0, 0.5, 0.9, 1)])[:, 0]
    assert 0 < places[0] < 0.1 and 0.9 < places[3] < 1
    # the distances are those of the rates' cubes
    assert np.diff(places) / (places[3] - places[0]) == pytest.approx(np.diff([0, 0.5**3, 0.9**3, 1]))


def test_rates_can_be_stretched_upwards():
    _, axis = plt.subplots()
    stretch_rates(axis, "y")
    assert (axis.get_xscale(), axis.get_yscale()) == ("linear", "function")
    assert axis.get_ylim() == pytest.approx((-0.3, 1.01))


def test_no_row_is_dropped_for_want_of_colours():
    rows = [f"row {i}" for i in range(12)]
    data = pd.DataFrame({"row": rows, "seed": 0, "step": 0, "sse": 1.0})
    (axis,) = curves(data, "step", "sse", rows, xlabel="", ylabel="").axes
    assert [line.get_label() for line in axis.lines] == rows


def test_heat_maps_share_their_colours():
    panels = {"before": torch.eye(3), "after": torch.full((3, 3), 0.5, requires_grad=True)}
    figure = heat_maps(panels, label="cosine", low=-1, high=1)
    *axes, bar = figure.axes
    assert [axis.get_title() for axis in axes] == ["before", "after"]
    for axis, matrix in zip(axes, panels.values(), strict=True):
        (picture,) = axis.images
        assert picture.get_array().tolist() == matrix.tolist() and picture.get_clim() == (-1, 1)
        for ticks in (axis.get_xticklabels(), axis.get_yticklabels()):
            assert [tick.get_text() for tick in ticks] == ["1", "2", "3"]
    assert bar.get_ylabel() == "cosine"


def test_dots_are_a_line_for_each_row_and_a_mark_for_each_column():
    data = pd.DataFrame({"L_dir": [0.5, 1.0], "full": [0.7, float("nan")]}, index=["fur", "ears"])
    _, axis = plt.subplots()
    dots(data, xlabel="kept", axis=axis)
    assert [line.get_label() for line in axis.lines] == ["L_dir", "full"]
    assert axis.lines[0].get_xydata().tolist() == [[0.5, 0], [1.0, 1]]
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["fur", "ears"]
    bottom, top = axis.get_ylim()
    assert bottom > top  # the first row is the upper one


GRID = """
import sys, torch, zsgan
images = torch.linspace(-1, 1, 384).view(2, 3, 8, 8)
zsgan.image_grid({"dog": images}, columns=["a", "b"]).savefig(sys.argv[1])
"""

SETTINGS = """
savefig.dpi: 30
figure.dpi: 30
font.family: serif
font.size: 30
savefig.facecolor: red
savefig.bbox: tight
savefig.transparent: True
axes.titleweight: bold
image.interpolation: nearest
text.hinting: none
"""


@pytest.mark.parametrize("backend", ["TkAgg", "svg"])
def test_a_grid_is_the_same_bytes_whatever_matplotlibs_settings(tmp_path, backend):
    images = torch.linspace(-1, 1, 384).view(2, 3, 8, 8)
    image_grid({"dog": images}, columns=["a", "b"]).savefig(tmp_path / "plain.png")
    (tmp_path / "matplotlibrc").write_text(SETTINGS)
    screenless = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    subprocess.run(
        [sys.executable, "-c", GRID, "set.png"], cwd=tmp_path, check=True,
        env={**screenless, "PYTHONPATH": str(ROOT), "MPLBACKEND": backend},
    )  # fmt: skip
    assert (tmp_path / "set.png").read_bytes() == (tmp_path / "plain.png").read_bytes()


# Tables


def test_readings_are_means_over_the_seeds_with_the_steps_they_were_taken_at():
    read = pd.DataFrame({
        "row": ["L_dir"] * 4 + ["full"], "reading": ["end", "end", "best", "best", "end"],
        "step": [800, 800, 80, 160, 800], "lpips_avg": [0.3, 0.4, 0.42, 0.44, 0.5],
        "evaluator_rate": [0.8, 0.9, 1.0, 1.0, 0.7], "fid": [90.0, 100, 60, 64, 80],
    })  # fmt: skip
    diversity, distance = readings_tables(read, ["never", "best", "end"])
    assert diversity.loc["L_dir"].tolist() == ["0.430 (1.00)", "0.350 (0.85)"]
    assert diversity.loc["full"].tolist() == ["–", "0.500 (0.70)"]
    assert distance.loc["L_dir"].tolist() == ["62 (80 to 160)", "95 (800)"]
    assert distance.loc["full"].tolist() == ["–", "80 (800)"]
    for table in (diversity, distance):
        assert table.columns.tolist() == ["best", "end"] and table.index.name == "row"
    _, unknown = readings_tables(read.assign(fid=math.nan), ["end"])
    assert unknown["end"].tolist() == ["– (800)", "– (800)"]


@pytest.fixture
def table():
    return pd.DataFrame(
        {"n": [500, 500], "LPIPS": ["0.402 ± 0.008", "0.464 ± 0.013"]},
        index=pd.Index(["L_dir", "L_dm"], name="row"),
    )


def test_markdown(table):
    assert markdown(table) == (
        "| row | n | LPIPS |\n"
        "| --- | ---: | ---: |\n"
        "| L_dir | 500 | 0.402 ± 0.008 |\n"
        "| L_dm | 500 | 0.464 ± 0.013 |"
    )
    assert markdown(table.rename_axis(None)).startswith("|  | n | LPIPS |\n")


def test_latex(table):
    text = latex(table.assign(marks=["≥ 0.5 ✓", "–"]), "Dog → Cat, ψ = 0.7, 95 % of L_dm.")
    assert text.isascii()
    begin, caption, *lines, end = text.splitlines()
    assert (begin, end) == (r"\begin{table}", r"\end{table}")
    assert caption == r"\caption{Dog $\to$ Cat, $\psi$ = 0.7, 95 \% of L\_dm.}"
    assert lines[0] == r"\begin{tabular}{lrrr}" and lines[-1] == r"\end{tabular}"
    assert lines[2] == r"row & n & LPIPS & marks \\"
    assert lines[4] == r"L\_dir & 500 & 0.402 $\pm$ 0.008 & $\geq$ 0.5 $\checkmark$ \\"
    assert lines[5] == r"L\_dm & 500 & 0.464 $\pm$ 0.013 & -- \\"


@pytest.mark.parametrize("path", sorted(FIGURES.glob("*.tex")), ids=lambda path: path.stem)
def test_committed_tables_are_plain_latex(path):
    assert path.read_text(encoding="utf-8").isascii()


def test_a_table_is_the_same_bytes_every_time(tmp_path, table):
    for folder in (tmp_path / "one", tmp_path / "two"):
        save_table(table, "table1", folder, caption="what it shows", provenance=PROVENANCE)
    first, second = ({f.name: f.read_bytes() for f in (tmp_path / x).iterdir()} for x in ("one", "two"))
    assert first == second and set(first) == {f"table1.{kind}" for kind in ("csv", "md", "tex", "json")}
    assert first["table1.md"].decode() == markdown(table) + "\n"
    assert first["table1.tex"].decode() == latex(table, "what it shows")
    csv = "row,n,LPIPS\nL_dir,500,0.402 ± 0.008\nL_dm,500,0.464 ± 0.013\n"
    assert first["table1.csv"] == csv.encode()
    sidecar = json.loads(first["table1.json"])
    assert sidecar["caption"] == "what it shows" and sidecar["runs"] == PROVENANCE["runs"]
    assert sidecar["versions"] == libraries()


def test_plus_minus():
    assert plus_minus(0.5068, 0.0161) == "0.507 ± 0.016"


def test_table_1_of_the_paper():
    """Dog -> Cat: mean and deviation over clusters ("Avg."), and over images ("All")."""
    printed = """
        0.575 +- 0.019 | 0.575 +- 0.046
        0.460 +- 0.010 | 0.462 +- 0.063
        0.480 +- 0.006 | 0.480 +- 0.064
        0.402 +- 0.008 | 0.405 +- 0.057
        0.464 +- 0.013 | 0.470 +- 0.064
        0.493 +- 0.015 | 0.497 +- 0.067
        0.507 +- 0.016 | 0.512 +- 0.072
    """
    rows = [line.replace("|", "+-").split("+-") for line in printed.strip().splitlines()]
    assert list(PAPER_TABLE_1.values()) == [tuple(map(float, row)) for row in rows]
    assert list(PAPER_TABLE_1) == [
        "Ojha et al., 10-shot",
        "StyleGAN-NADA",
        "L_dir + L_EWC",
        "L_dir",
        "L_dm",
        "L_dm + L_EWC",
        "L_dm + L_EWC + L_rel",
    ]


# What is committed in figures/


SIDECARS = sorted(FIGURES.glob("*.json"))


def test_every_committed_figure_and_table_has_its_sidecar():
    kinds = {stem: set() for stem in (path.stem for path in FIGURES.iterdir())}
    for path in FIGURES.iterdir():
        kinds[path.stem].add(path.suffix)
    assert len(kinds) >= 5
    allowed = {".json", ".png", ".svg"}, {".json", ".csv", ".md", ".tex"}
    assert all(found in allowed for found in kinds.values()), kinds


SUMMARISED = {
    "frontier": "demo-full", "ablations": "ablations", "ablations_long": "ablations-long", "search": "search",
    "scenarios": "scenarios", "stops": "demo-full", "steps": "demo-full",
    "bench": "bench", "bench_search": "bench-search", "gallery": "gallery", "mixtures": "gallery",
    "aim": "gallery", "forecast": "gallery",
}  # fmt: skip


@pytest.mark.parametrize("path", SIDECARS, ids=lambda path: path.stem)
def test_a_sidecar_says_what_made_its_file(path):
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    made = sidecar.get("summary", sidecar)  # of the demo's runs, or of a summary that ships
    grid = SUMMARISED.get(path.stem, SUMMARISED.get(path.stem.partition("_")[0]))
    assert made["profile"] == ("demo" if made is sidecar else grid)
    assert made["versions"]["torch"] and sidecar["versions"]["torch"]
    assert made["weights"] == {name: asset(name).sha256 for name in made["weights"]}
    assert any(name.startswith("clip") for name in made["weights"])
    assert sidecar.get("alt") or sidecar["caption"]


def test_nothing_that_differs_from_machine_to_machine_is_committed():
    """Else `zsgan reproduce` leaves changes behind; a shipped summary's own provenance stays as it is."""
    for path in FIGURES.glob("*.csv"):
        columns = set(pd.read_csv(path, nrows=0).columns)
        assert not columns & {"seconds a step", "time a step", "memory"}, path.name
    for path in SIDECARS:
        sidecar = json.loads(path.read_text(encoding="utf-8"))
        assert sidecar["versions"].keys() == libraries().keys(), path.name
