"""Reproduction of all results: adaptations, notebooks, figures, tables and the book."""

import logging
from collections.abc import Collection
from itertools import cycle
from pathlib import Path

from zsgan.base.workers import for_workers
from zsgan.book import contents, notebooks, pages, preconditions
from zsgan.evaluation.measuring import measure_all
from zsgan.report import shipped
from zsgan.runs.grid import run_all
from zsgan.runs.identity import check
from zsgan.runs.method_check import check_methods
from zsgan.runs.profiles import load_profile, profile_file
from zsgan.runs.run import RUNS

log = logging.getLogger(__name__)


def reproduce(
    profile: str = "demo",
    *,
    figures: Path | None = None,
    build: Path = Path("build"),
    runs: Path = RUNS,
    only: str | None = None,
    device: str = "cpu",
    workers: int = 1,
    pdf: bool = False,
    progress: bool = False,
) -> Path:
    """Make the missing runs of all the profile's scenarios, execute the notebooks and render the book.

    A book has the chapters and sections that its profile can fill (:mod:`zsgan.book.contents`). Rows that
    images guide are made where the scenario has images of its target. Finished runs and measurements are
    reused, so a call after a failure resumes it. The machine is checked before the first run
    (:mod:`zsgan.book.preconditions`).

    A summarised profile (demo-full, ablations, scenarios...) has no book of its own. Its measurements are
    written beside its file, where the book's chapters find them (:mod:`zsgan.report.shipped`).

    Args:
        profile: a name, or a .yaml file.
        figures: where the notebooks write figures and tables; by default ``build/<profile>/figures``. The
            committed ones in ``figures`` are not touched unless this names that folder.
        build: where executed notebooks and the book go.
        runs: folder of runs.
        only: execute only this chapter, and do not render the book; or "book": render the executed chapters.
        device: torch device of adaptations, measurements and chapters; several share them, such as
            "cuda:0,cuda:1".
        workers: number of adaptations, measurements or chapters in parallel.
        pdf: also print the book to ``build/book.pdf``; needs Chromium.
        progress: show progress bars.

    Returns:
        The first page of the book, the executed notebook with ``only``, or the folder of the summary.

    Raises:
        ValueError: The profile is unknown, its book lacks the chapter or it has no book to print, or the
            folders of figures and book overlap; a device does not exist, or there are fewer workers than
            devices.
        OSError: A folder cannot be written to, the disk has too little space, or there is no home folder.
        ImportError: A tool of the book is missing.
        RuntimeError: Some adaptations failed; the others are kept.
        BookError: A notebook failed (the message has the cell and the traceback), or the rendering did.
    """
    devices = for_workers(device, workers)
    settings = load_profile(profile)
    having = contents.offered(settings)
    names = [page.stem for page in notebooks.chapters(having=having)]
    pages_only = only == "book"
    if only is not None and only not in (*names, "book"):
        raise ValueError(f"chapter {only!r} is not in the book of {profile!r}, which has {', '.join(names)}")
    if only and pdf and not pages_only:
        raise ValueError(f"only={only!r} makes one notebook and no book that pdf could print; leave one out")
    if settings.summarised and (only or pdf):
        raise ValueError(f"of profile={profile!r} no book is made, only a summary; leave out only and pdf")
    configs = [settings.config(*which) for which in settings.grid]
    labels = [f"{scenario}, {row}, seed {seed}" for scenario, row, seed in settings.grid]
    figures = figures or build / profile_file(profile).stem / "figures"
    executed, summary = build / "executed", shipped.summary_folder(profile)
    if not settings.summarised:
        pages.check_places(figures, build / "staged")
    written = [summary] if settings.summarised else [build, executed, figures]
    preconditions.check(
        [] if pages_only else configs, runs, written, book=not settings.summarised, pdf=pdf,
        photographs=settings.photographs,
    )  # fmt: skip
    if pages_only:
        return _rendered(executed, figures, build, having, settings.banner, pdf)
    jobs = check(configs)
    check_methods(settings, runs, devices[0])
    run_all(jobs, folder=runs, device=device, workers=workers, progress=progress, labels=labels)
    if settings.summarised:
        shipped.summarise(settings, summary, folder=runs, device=device, workers=workers, progress=progress)
        return summary
    if not only:  # in parallel; a chapter alone measures what it needs
        measure_all(settings, runs, device, workers, progress)
    figures.mkdir(parents=True, exist_ok=True)
    chosen = [only] if only else names
    parameters = {"profile": profile, "figures": figures, "runs": runs}
    own = {
        name: {**parameters, "device": str(one)} for name, one in zip(chosen, cycle(devices), strict=False)
    }
    notebooks.execute_all(own, executed, having=having, workers=workers, progress=progress)
    if only:
        return executed / f"{only}.ipynb"
    return _rendered(executed, figures, build, having, settings.banner, pdf)


def _rendered(
    executed: Path, figures: Path, build: Path, having: Collection[str], banner: str | None, pdf: bool
) -> Path:
    page = pages.build(executed, figures, build, having=having, banner=banner)
    if pdf:
        pages.print_pdf(build)
    return page
