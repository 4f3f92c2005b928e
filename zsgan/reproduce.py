"""Everything again from nothing: adaptations, notebooks, figures, tables and the book."""

import logging
from pathlib import Path

from zsgan import notebooks
from zsgan.profiles import load_profile
from zsgan.runs import RUNS, run_all

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
    progress: bool = False,
) -> Path:
    """Make or find the profile's runs, execute the notebooks in order and render the book.

    What is finished is not made again: a call after a failure goes on from where it stopped.

    Args:
        profile: "smoke" or "demo".
        figures: where the notebooks write figures and tables; by default ``figures``, which is committed, for
            the demo alone, and ``build/<profile>/figures`` for every other profile.
        build: where executed notebooks and the book go.
        runs: folder of runs.
        only: execute this chapter alone, and do not render the book.
        device: torch device of the adaptations.
        workers: adaptations at a time.
        progress: show progress bars.

    Returns:
        the first page of the book, or the executed notebook with ``only``.

    Raises:
        ValueError: the profile or the chapter is unknown.
        BookError: a notebook or the rendering failed.
    """
    settings = load_profile(profile)
    names = [page.stem for page in notebooks.chapters()]
    if only is not None and only not in names:
        raise ValueError(f"chapter {only!r} is unknown; the chapters are {', '.join(names)}")
    scenario = next(iter(settings.scenarios))
    configs = [settings.config(scenario, row, seed) for row in settings.rows for seed in settings.seeds]
    run_all(configs, folder=runs, device=device, workers=workers, progress=progress)
    if figures is None:
        figures = Path("figures") if profile == "demo" else build / profile / "figures"
    executed = build / "executed"
    figures.mkdir(parents=True, exist_ok=True)
    for name in [only] if only else names:
        log.info("notebook %s", name)
        parameters = {"profile": profile, "figures": figures, "runs": runs, "device": device}
        notebooks.execute(name, parameters, executed, progress=progress)
    if only:
        return executed / f"{only}.ipynb"
    return notebooks.build_book(executed, figures, build)
