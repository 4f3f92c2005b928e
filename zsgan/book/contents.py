"""Contents of a profile's book: what rests on something that the profile lacks is left out.

A cell of a page says in its metadata what it rests on, one of :data:`NEEDS`::

    +++ {"needs": "drawn truth"}

    ## Which factors survive

A heading takes its section along, the title its page, any other cell only itself. A cell of code has
``:needs:`` beside its tags.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jupytext
import nbformat
import yaml
from nbformat import NotebookNode

from zsgan.evaluation.truth import truth_of
from zsgan.report.shipped import summary_folder
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.scenario import Scenario

_HEADING = re.compile(r"(#{1,6}) ")
_FENCE = re.compile(r"\s*(```+|~~~+|:::+|\$\$)")
_LINK = re.compile(r"\[([^][]*)\]\((\w+)\.(?:ipynb|md)(?:#[\w-]+)?\)")


def _drawn(profile: Profile, scenario: Scenario) -> bool:
    return {"species", "style"} <= set(scenario.truth) and profile.eyes == "evaluator"


def _of_the_demo(profile: Profile, scenario: Scenario) -> bool:
    return scenario == next(iter(load_profile("demo").scenarios.values()))


def _true_images(profile: Profile, scenario: Scenario) -> bool:
    return truth_of(scenario.truth).seen


def _photographs(profile: Profile, scenario: Scenario) -> bool:
    return profile.photographs is not None


def _drawn_pictures(profile: Profile, scenario: Scenario) -> bool:
    return _of_the_demo(profile, scenario) and profile.photographs is None


def _pictures(profile: Profile, scenario: Scenario) -> bool:
    return _photographs(profile, scenario) or _drawn_pictures(profile, scenario)


def _ablations(profile: Profile, scenario: Scenario) -> bool:
    return profile.ablations is not None and (summary_folder(profile.ablations) / "finals.csv").is_file()


def _colab(profile: Profile, scenario: Scenario) -> bool:
    return profile.name == "colab"


NEEDS: Mapping[str, Callable[[Profile, Scenario], bool]] = {
    "drawn truth": _drawn,
    "demo": _of_the_demo,
    "true images": _true_images,
    "pictures": _pictures,
    "drawn pictures": _drawn_pictures,
    "photographs": _photographs,
    "ablations": _ablations,
    "colab": _colab,
}
"""What a cell may rest on -> whether a profile with this first scenario has it.

- drawn truth: the target is a part of the demo world, whose ideal answers the evaluator can read.
- demo: the first scenario is the demo's, which the shipped grids have measured.
- true images: there are images of the target, drawn or in a folder.
- pictures: there are pictures to invert, which are photographs or drawn.
- drawn pictures: the demo draws them, and knows the true answer to each edit.
- photographs: the profile names a folder of the reader's own.
- ablations: the grid that the profile names as its ablations has been measured.
- colab: the book is that of the profile colab. Opened on Colab, the notebook has all its cells.
"""


def offered(profile: Profile) -> frozenset[str]:
    """The needs that a profile meets, with its first scenario, which the chapters follow."""
    scenario = next(iter(profile.scenarios.values()))
    return frozenset(need for need, met in NEEDS.items() if met(profile, scenario))


def kept(cells: list[NotebookNode], having: Collection[str]) -> list[NotebookNode]:
    """The cells of a page that a profile can fill.

    Args:
        cells: all cells of the page.
        having: needs that are met, see :func:`offered`.

    Returns:
        the cells left, in order; none if the page's title has a need that is not met.

    Raises:
        ValueError: a cell has an unknown need.
    """
    left: list[NotebookNode] = []
    closed = 0  # level of the heading whose section is being left out; 0 for none
    for cell in cells:
        need = cell.metadata.get("needs")
        if need is not None and need not in NEEDS:
            raise ValueError(f"needs={need!r} is unknown; choose one of {', '.join(NEEDS)}")
        met = need is None or need in having
        parts = _sections(cell.source) if cell.cell_type == "markdown" else [(0, cell.source)]
        lines = []
        for k, (level, text) in enumerate(parts):
            if level and level <= closed:
                closed = 0
            if k == 0 and not met and level and not closed:
                closed = level
            if not closed and (met or k > 0):
                lines.append(text)
        if lines:
            left.append(nbformat.from_dict({**cell, "source": "\n".join(lines).strip("\n")}))
    return left


def plain(text: str, having: Collection[str]) -> str:
    """A page of prose with the sections that a profile can fill; empty if its title has an unmet need."""
    cells = jupytext.reads(text, fmt={"extension": ".md", "format_name": "myst"}).cells
    return "\n\n".join(cell.source for cell in kept(cells, having))


def unlinked(text: str, pages: Collection[str]) -> str:
    """Markdown in which links to some pages are plain words.

    Args:
        text: Markdown.
        pages: names of the pages that a book leaves out, without suffixes. Links to others stay, also to
            unknown ones, which jupyter-book reports.

    Returns:
        the Markdown.
    """
    return _LINK.sub(lambda link: link[1] if link[2] in pages else link[0], text)


def table_of_contents(text: str, pages: Collection[str]) -> str:
    """The content of ``_toc.yml`` with the entries of a book's pages alone; a part without pages is left out.

    Args:
        text: the content for all pages.
        pages: names of the book's pages.

    Returns:
        the content.
    """
    toc: dict[str, Any] = yaml.safe_load(text)
    for part in toc["parts"]:
        part["chapters"] = [entry for entry in part["chapters"] if entry["file"] in pages]
    toc["parts"] = [part for part in toc["parts"] if part["chapters"]]
    return yaml.safe_dump(toc, sort_keys=False, allow_unicode=True)


def _sections(source: str) -> list[tuple[int, str]]:
    """The parts of a Markdown text, split before each heading, with the headings' levels (0 for none)."""
    parts: list[tuple[int, list[str]]] = [(0, [])]
    fence = ""
    for line in source.splitlines():
        if (found := _FENCE.match(line)) and line.count("$$") != 2:
            fence = "" if fence == found[1] else fence or found[1]
        heading = None if fence else _HEADING.match(line)
        if heading:
            # a target such as (eq-moment)= belongs to the heading below it
            last = parts[-1][1]
            target = [last.pop()] if last and re.fullmatch(r"\([\w-]+\)=", last[-1]) else []
            parts.append((len(heading[1]), [*target, line]))
        else:
            parts[-1][1].append(line)
    return [(level, "\n".join(lines)) for level, lines in parts if "".join(lines).strip()]
