"""What the demo was to reach, fixed before it was built, beside what it reaches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from zsgan.assets import manifest
from zsgan.base.tensors import load_tensors
from zsgan.menagerie.evaluator import reliability
from zsgan.report.shipped import Summary


@dataclass(frozen=True)
class Aim:
    """A bound on one number.

    Attributes:
        bound: what the number was to be.
        most: whether it was to be at most that, instead of at least.
        form: how it is written, a format specification.
    """

    bound: float
    most: bool = False
    form: str = ".2f"

    def __str__(self) -> str:
        """Such as "≥ 0.90"."""
        return f"{'≤' if self.most else '≥'} {self.bound:{self.form}}"

    def met(self, value: float) -> bool:
        """Whether ``value``, which is never nan, is within the bound."""
        return value <= self.bound if self.most else value >= self.bound


GENERATORS: Mapping[str, Aim] = {"FID / floor": Aim(2, most=True), "precision": Aim(0.9), "recall": Aim(0.8)}
"""Images against as many true ones, not truncated; the floor is the FID of drawings against others."""
CLIPS: Mapping[str, Aim] = {
    "species": Aim(0.98, form=".3f"),
    "style": Aim(0.98, form=".3f"),
    "ears": Aim(0.98, form=".3f"),
    "fur": Aim(0.9),
    "pattern": Aim(0.85),
    "eyes": Aim(0.75),
    "species, attacked": Aim(0.95),
}
"""Zero-shot accuracies, see :func:`zsgan.menagerie.training.measure_clip.measure`."""
EVALUATOR: Mapping[str, Aim] = {
    "species": Aim(0.995, form=".3f"),
    "style": Aim(0.995, form=".3f"),
    "lowest R² of a factor shown": Aim(0.8),
}
"""How the evaluator reads portraits that it has not seen."""
ADAPTATIONS: Mapping[str, Aim] = {
    "evaluator_rate": Aim(0.9),
    "clip_rate": Aim(0.9),
    "FID / source's": Aim(0.2, most=True),
    "precision": Aim(0.5),
    "recall": Aim(0.3),
}
"""Of the images at the end of the runs; the last line is the diversity of true images that they cover."""


def generators_reach(quality: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The numbers of GENERATORS.

    Args:
        quality: name -> what :func:`zsgan.evaluation.results.generator_quality` says of it, its first line
            other true images, its second the generator's.

    Returns:
        a line for each generator.
    """
    lines = {}
    for name, table in quality.items():
        floor, made = table.iloc[0], table.iloc[1]
        lines[name] = {"FID / floor": made["fid"] / floor["fid"], **made[["precision", "recall"]]}
    return pd.DataFrame.from_dict(lines, orient="index")


def clips_reach(names: Sequence[str]) -> pd.DataFrame:
    """The numbers of CLIPS, measured when the networks were trained; a line for each shipped name."""
    lines = {}
    for name in names:
        _, _, provenance = load_tensors(manifest.path(name))
        found = provenance["measured"]
        lines[name] = {aim: found.get(f"{aim}, clean", found.get(aim)) for aim in CLIPS}
    return pd.DataFrame.from_dict(lines, orient="index")


def evaluator_reaches(shown: Sequence[str]) -> pd.DataFrame:
    """The numbers of EVALUATOR.

    Args:
        shown: the factors that figures speak of.

    Returns:
        one line.
    """
    read = reliability()
    numbers = [read["species"], read["style"], min(read[factor] for factor in shown)]
    return pd.DataFrame([numbers], ["evaluator"], list(EVALUATOR))


def adaptations_reach(summary: Summary, rows: Sequence[str], sources: Mapping[str, float]) -> pd.DataFrame:
    """The numbers of ADAPTATIONS, means over the seeds.

    Args:
        summary: of some scenarios.
        rows: which to show.
        sources: scenario -> FID of the source generator to the target, from as many images.

    Returns:
        a line for each scenario and row, the index.
    """
    finals = summary.finals[summary.finals["row"].isin(rows)]
    ratio = finals["fid"] / finals["scenario"].map(sources)
    finals = finals.assign(**{"FID / source's": ratio})
    return finals.groupby(["scenario", "row"], sort=False)[list(ADAPTATIONS)].mean()


def beside(reached: pd.DataFrame, aims: Mapping[str, Aim]) -> pd.DataFrame:
    """What was reached, beside its bounds.

    Args:
        reached: a line for each thing, a column for each of ``aims``.
        aims: column -> its bound.

    Returns:
        finished cells with the same lines; a mark is on those that meet the bound, which the headings tell.
    """
    cells = {
        f"{name.replace('_', ' ')} ({aim})": [
            f"{value:{aim.form}}{' ✓' if aim.met(value) else ''}" for value in reached[name]
        ]
        for name, aim in aims.items()
    }
    return pd.DataFrame(cells, reached.index)
