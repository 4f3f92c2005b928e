"""Tables of the class "sortable" in a browser: a click, or a key, on a column's head sorts them."""

import shutil

import pytest
from browser import served

from zsgan.book.notebooks import BOOK

# As Sphinx writes a csv-table; the cells of the last column break below a number.
ROWS = [
    ("L_dir", "10.5", "0.90", "+3.0<br>(−1 to +7)"),
    ("AIR", "9.25", "–", "−12.0<br>(−20 to −4)"),
    ("stopped", "100", "0.50 ± 0.10", "−2.5<br>(−3 to −2)"),
    ("captions", "9.25", "1.00", "+10.0<br>(0 to +20)"),
]
HEADS = ("row", "FID", "target rate", "change")
LINES = ["".join(f"<td><p>{cell}</p></td>" for cell in row) for row in ROWS]
CELLS = "".join(f"<tr>{line}</tr>" for line in LINES)
HEAD = f"<thead><tr>{''.join(f'<th><p>{head}</p></th>' for head in HEADS)}</tr></thead>"
CAPTION = '<caption><span class="caption-number">Table 8.1 </span>A leaderboard</caption>'
PAGE = f"""<!doctype html><meta charset="utf-8"><title>Sorting</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="book.css"><script src="page.js"></script>
<table class="table numbers sortable">{CAPTION}{HEAD}<tbody>{CELLS}</tbody></table>
<table class="table sortable" id="second">{HEAD}<tbody>{CELLS}</tbody></table>
<table class="table" id="plain">{HEAD}<tbody>{CELLS}</tbody></table>"""

ORDER = "[...document.querySelector('table').tBodies[0].rows].map(row => row.cells[0].textContent)"
SIDES = "[...document.querySelectorAll('th')].map(head => head.getAttribute('aria-sort'))"


@pytest.fixture
def sortable(browser, tmp_path):
    """The page, and a function that clicks a head of its first table and says in which order the rows are."""
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    for name in ("page.js", "book.css"):
        shutil.copy(BOOK / "_static" / name, tmp_path)

    def click(head):
        browser.run(f"document.querySelectorAll('th button')[{HEADS.index(head)}].click()")
        return browser.run(ORDER)

    with served(tmp_path) as address:
        browser.visit(f"{address}/page.html")
        yield click
    assert browser.faults == []


AS_IT_WAS = [row for row, *_ in ROWS]


@pytest.mark.parametrize(
    ("head", "upwards", "downwards"),
    [
        ("row", ["AIR", "captions", "L_dir", "stopped"], ["stopped", "L_dir", "captions", "AIR"]),
        # numbers, not their digits; equal ones keep their order
        ("FID", ["AIR", "captions", "L_dir", "stopped"], ["stopped", "L_dir", "AIR", "captions"]),
        # a dash is last either way, a deviation does not count
        ("target rate", ["stopped", "L_dir", "captions", "AIR"], ["captions", "L_dir", "stopped", "AIR"]),
        # a minus sign, and an interval on a second line
        ("change", ["AIR", "stopped", "L_dir", "captions"], ["captions", "L_dir", "stopped", "AIR"]),
    ],
    ids=HEADS,
)
def test_clicks_sort_a_table_up_and_down_and_back(sortable, head, upwards, downwards):
    assert [sortable(head) for _ in range(4)] == [upwards, downwards, AS_IT_WAS, upwards]


def test_one_head_at_a_time_says_that_it_sorts(sortable, browser):
    sortable("FID")
    assert browser.run(SIDES)[:4] == [None, "ascending", None, None]
    sortable("change")
    assert browser.run(SIDES)[:4] == [None, None, None, "ascending"]
    sortable("change")
    assert browser.run(SIDES)[:4] == [None, None, None, "descending"]
    sortable("change")
    assert set(browser.run(SIDES)) == {None}, "neither this table nor another one says that it is sorted"


def test_the_keyboard_sorts_and_a_screen_reader_is_told_what_is_sorted(sortable, browser):
    names = [name for role, name in browser.controls() if role == "button"]
    assert names[:2] == ["row: sort Table 8.1", "FID: sort Table 8.1"]
    assert names[4:6] == ["row: sort table 2", "FID: sort table 2"] and len(names) == 8
    browser.run("document.querySelectorAll('th button')[1].focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
            windowsVirtualKeyCode=13,
        )  # fmt: skip
    assert browser.run(ORDER) == ["AIR", "captions", "L_dir", "stopped"]
    heads = [
        node["name"]["value"]
        for node in browser.call("Accessibility.getFullAXTree")["nodes"]
        if node["role"]["value"] == "columnheader"
    ]
    assert heads[:4] == list(HEADS)
    assert browser.run("document.querySelectorAll('#plain button').length") == 0
