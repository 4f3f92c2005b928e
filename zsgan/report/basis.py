"""What the numbers of a table rest on, in words: features, numbers of images and reference set."""

from pathlib import Path

import pandas as pd

from zsgan.evaluation.truth import truth_of
from zsgan.report.published import PAPER_SCENARIO
from zsgan.report.tables import span
from zsgan.runs.profiles import Profile

FEATURES = {
    "evaluator": (
        "LPIPS through the maps of the demo's evaluator at 64 px; FID, KID, precision, recall, density, "
        "coverage, Vendi and what is kept through its pooled features"
    ),
    "photographs": (
        "LPIPS 0.1 through VGG-16 at 256 px; FID, KID, Vendi and what is kept through Inception-v3 (2,048 "
        "pooled features, 299 px) and precision, recall, density and coverage through VGG-16 (fc2, 4,096 "
        "features, 224 px), both as in torch-fidelity"
    ),
}
"""Value of ``eyes`` in a profile -> the features behind each measure outside CLIP space."""


def basis(results: pd.DataFrame, profile: Profile, scenario: str = PAPER_SCENARIO) -> str:
    """Sentences on how the numbers of a table were measured, to show beside it.

    Args:
        results: one line for each run, from :meth:`zsgan.evaluation.measurements.Measurements.table`.
        profile: the profile of the runs.
        scenario: the scenario to show.

    Returns:
        n, ψ, seeds, iterations (with those of rows that differ), features, clusters and neighbours, and the
        reference set.
    """
    runs = results[results["scenario"] == scenario]
    n, psi = (", ".join(f"{value:g}" for value in runs[name].unique()) for name in ("n", "psi"))
    seeds = [f"{seed:g}" for seed in runs["seed"].unique()]
    steps = runs.groupby("row", sort=False)["iterations"].agg(span)
    usual = steps.mode()[0]
    others = "".join(f" ({row}: {value})" for row, value in steps[steps != usual].items())
    also = ", and CMMD," if "cmmd" in profile.measures else ""
    compared = "fd_dinov2" in profile.measures and truth_of(profile.scenarios[scenario].truth).seen
    dinov2 = "FD-DINOv2 through ViT-L/14 (1,024 features, 224 px). " if compared else ""
    return (
        f"Measured with n = {n} images a run, ψ = {psi}, seed{'s' * (len(seeds) > 1)} {', '.join(seeds)}, "
        f"{usual} iterations{others}. {FEATURES[profile.eyes]}; columns with CLIP in their name{also} by "
        f"{profile.judge}, which guides no row. {dinov2}LPIPS has {profile.clusters} clusters, precision, "
        f"recall, density and coverage {profile.neighbours} neighbours. {reference_set(profile, scenario)}"
    )


def reference_set(profile: Profile, scenario: str) -> str:
    """A sentence on the true images that a scenario's runs are compared with.

    Args:
        profile: a profile.
        scenario: one of its scenarios.

    Returns:
        their number and origin, or that there are none.
    """
    named = profile.scenarios[scenario].truth
    truth = truth_of(named)
    if not truth.seen:
        return "Reference set: none."
    n = len(truth.images(profile.samples, 64))
    if truth.labels is None:
        return f"Reference set: {n} images, every second one of the folder {Path(named['folder']).name}."
    return f"Reference set: {n} drawings ({', '.join(truth.labels.values())})."
