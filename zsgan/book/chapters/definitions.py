"""Which reading of intra-cluster LPIPS can have made the paper's Table 1: its deviations, and ours."""

from collections.abc import Iterable, Sequence

import pandas as pd

from zsgan.report.tables import PAPER_TABLE_1

PAPER_SAMPLES, PAPER_CLUSTERS = 1000, 10  # sec. 4.2
TEN_SHOT = "Ojha et al., 10-shot"


def floor(n: int, clusters: int) -> float:
    """The least that the deviation over images can be, relative to their mean, if distances go to medoids.

    Each medoid is one of the images, at distance 0 from itself. With k zeros among n values of mean m, the
    variance is least if all others are equal: then it is m^2 k / (n - k).

    Args:
        n: images.
        clusters: k, below ``n``.

    Returns:
        the ratio, above 0.
    """
    return float((clusters / (n - clusters)) ** 0.5)


def without_zeros(ratio: float, n: int, clusters: int) -> float:
    """The deviation over images relative to their mean, once the medoids themselves are left out.

    Args:
        ratio: the same of all images, at least the :func:`floor`.
        n: images.
        clusters: k, below ``n``.

    Returns:
        the ratio of the others.
    """
    # With m and s of the others: the mean is m (n - k) / n, the mean square (m^2 + s^2) (n - k) / n.
    return float(((1 + ratio**2) * (n - clusters) / n - 1) ** 0.5)


def deviations(results: pd.DataFrame, clusters: int) -> pd.DataFrame:
    """What each reading leaves in the two columns of Table 1, relative to the means.

    Args:
        results: a line for each run, of one scenario, as :func:`zsgan.evaluation.results.results` makes it.
        clusters: k of the k-medoids there.

    Returns:
        the paper's zero-shot rows, its 10-shot row, and the runs in both readings: "± of All / All" and
        "± of Avg. / Avg.", each from the least to the greatest; "floor" of the first, see :func:`floor`, and
        what it is "without zeros", see :func:`without_zeros` (nan where distances cannot be to medoids).
    """
    paper, here = (PAPER_SAMPLES, PAPER_CLUSTERS), (int(results["n"].min()), clusters)
    zero_shot = [numbers for row, numbers in PAPER_TABLE_1.items() if row != TEN_SHOT]
    lines = {
        "paper, zero-shot rows": _line(zero_shot, paper),
        "paper, 10-shot row": _line([PAPER_TABLE_1[TEN_SHOT]], None),
        "here, to the medoid": _line(_runs(results, "lpips"), here),
        "here, over pairs": _line(_runs(results, "lpips_literal"), None),
    }
    return pd.DataFrame.from_dict(lines, orient="index")


def _line(numbers: Sequence[tuple[float, ...]], medoids: tuple[int, int] | None) -> dict[str, str | float]:
    """A line of the table, of (Avg., its deviation, All, its deviation)."""
    ratios = [all_std / all_ for _, _, all_, all_std in numbers]
    return {
        "± of All / All": _span(ratios),
        "floor": float("nan") if medoids is None else floor(*medoids),
        "without zeros": float("nan")
        if medoids is None
        else _span(without_zeros(r, *medoids) for r in ratios),
        "± of Avg. / Avg.": _span(avg_std / avg for avg, avg_std, _, _ in numbers),
    }


def agreement(results: pd.DataFrame) -> pd.Series:
    """How alike the paper and each reading order the zero-shot rows by "Avg.".

    Args:
        results: as in :func:`deviations`; other rows than the paper's are left out.

    Returns:
        "to the medoid" and "over pairs" -> the rank correlation of means over the seeds with the paper's
        numbers: 1 for the same order, -1 for the opposite one; nan for a single row.
    """
    paper = pd.Series({row: avg for row, (avg, *_) in PAPER_TABLE_1.items() if row != TEN_SHOT})
    means = results.groupby("row")[["lpips_avg", "lpips_literal_avg"]].mean()
    means = means.set_axis(["to the medoid", "over pairs"], axis=1).reindex(paper.index).dropna()
    return means.rank().corrwith(paper[means.index].rank())


def _runs(results: pd.DataFrame, prefix: str) -> list[tuple[float, ...]]:
    columns = [f"{prefix}_{part}" for part in ("avg", "avg_std", "all", "all_std")]
    return [tuple(line) for line in results[columns].to_numpy()]


def _span(ratios: Iterable[float]) -> str:
    low, *between = sorted(ratios)
    return f"{low:.3f} to {between[-1]:.3f}" if between else f"{low:.3f}"
