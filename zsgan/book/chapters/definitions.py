"""Which reading of intra-cluster LPIPS can have produced the paper's Table 1, by its deviations and ours."""

from collections.abc import Sequence

import pandas as pd

from zsgan.report.published import PAPER_TABLE_1
from zsgan.report.tables import span

PAPER_SAMPLES, PAPER_CLUSTERS = 1000, 10  # sec. 4.2
TEN_SHOT = "Ojha et al., 10-shot"


def floor(n: int, clusters: int) -> float:
    """Lower bound of the standard deviation over images, relative to the mean, for distances to medoids.

    Each medoid is one of the images, at distance 0 from itself. With k zeros among n values of mean m, the
    variance is smallest if all others are equal, and is then m^2 k / (n - k).
    """
    return float((clusters / (n - clusters)) ** 0.5)


def without_zeros(ratio: float, n: int, clusters: int) -> float:
    """Standard deviation over images, relative to the mean, without the medoids; ``ratio`` is with them."""
    # With m and s of the other images, the mean is m (n - k) / n, the mean square (m^2 + s^2) (n - k) / n.
    return float(((1 + ratio**2) * (n - clusters) / n - 1) ** 0.5)


def deviations(results: pd.DataFrame, clusters: int) -> pd.DataFrame:
    """Deviations in the two columns of Table 1 under each reading, relative to the means.

    Args:
        results: a row for each run of one scenario, from ``Measurements.table``.
        clusters: k of its k-medoids.

    Returns:
        the paper's zero-shot rows, its 10-shot row, and the runs in both readings: "± of All / All" and
        "± of Avg. / Avg.", each from the lowest to the highest; "floor" of the first, see :func:`floor`, and
        its value "without zeros", see :func:`without_zeros` (nan where distances cannot be to medoids).
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
    """Row of the table, from (Avg., its deviation, All, its deviation)."""
    ratios = pd.Series([all_std / all_ for _, _, all_, all_std in numbers])
    of_avg = pd.Series([avg_std / avg for avg, avg_std, _, _ in numbers])
    return {
        "± of All / All": span(ratios, ".3f"),
        "floor": floor(*medoids) if medoids else float("nan"),
        "without zeros": span(ratios.map(lambda r: without_zeros(r, *medoids)), ".3f")
        if medoids
        else float("nan"),
        "± of Avg. / Avg.": span(of_avg, ".3f"),
    }


def agreement(results: pd.DataFrame) -> pd.Series:
    """Rank correlation of the paper and each reading over the zero-shot rows, by "Avg.".

    Args:
        results: as in :func:`deviations`; only the paper's rows are used.

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
