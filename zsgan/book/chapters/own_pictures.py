"""What the chapter on people's pictures needs: pictures, drawn or photographs, and their runs.

Photographs pass through the profile's own runs. The demo's animals have more texts, and true answers.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from zsgan.adaptation.config import AdaptConfig, override
from zsgan.assets.names import weights_id
from zsgan.base.places import local_path
from zsgan.base.tensors import content_hash
from zsgan.inversion.edit import factor_distance, kept, names_of
from zsgan.inversion.latents import Latents
from zsgan.inversion.networks import Networks
from zsgan.inversion.pictures import SHOWN, first_in
from zsgan.menagerie.draw import draw
from zsgan.menagerie.encoder import SPECIES
from zsgan.menagerie.factors import Factors, with_species, with_style
from zsgan.menagerie.portraits import FRESH_SEED, Drawing
from zsgan.metrics.eyes import Eyes
from zsgan.metrics.lpips import Lpips
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.run import Run

HELD_OUT_SEED = FRESH_SEED + 1
"""Seed of the animals of the figure, with which no network was trained and nothing else is measured."""


@dataclass(frozen=True)
class Wish:
    """A text, and the true answer to it.

    Attributes:
        source_text: the source in words.
        target_text: the target in words.
        label: what changes: the species, or the style.
        changes_style: whether it is the style.
    """

    source_text: str
    target_text: str
    label: str
    changes_style: bool = False

    def answer(self, factors: Factors) -> Factors:
        """The same animals in the target domain."""
        return (with_style if self.changes_style else with_species)(factors, self.label)


WISHES = (
    Wish("dog", "cat", "cat"),
    Wish("dog", "fox", "fox"),
    Wish("photo of a dog", "cartoon of a dog", "cartoon", True),
    Wish("photo of a dog", "sketch of a dog", "sketch", True),
)
"""Two species and two styles, with the texts of the profiles *demo* and *scenarios*."""


def config_of(profile: Profile, wish: Wish, row: str, seed: int = 0) -> AdaptConfig:
    """The run of the dog generator for a wish, with a profile's settings and the templates of its kind.

    Args:
        profile: *demo* or a smaller one.
        wish: one of :data:`WISHES`.
        row: row of the profile.
        seed: seed of the run.

    Returns:
        the configuration; for the styles that of the profile *scenarios*, whose runs are found.
    """
    texts = {"source_text": wish.source_text, "target_text": wish.target_text, "generator": "generator-dog"}
    if wish.changes_style:
        texts["templates"] = load_profile("scenarios").settings["templates"]
    return override(profile.config(next(iter(profile.scenarios)), row, seed), texts)


def configs_of(profile: Profile, rows: Mapping[str, str]) -> dict[tuple[str, str], AdaptConfig]:
    """The runs that the pictures pass through.

    Args:
        profile: *demo* or a smaller one, whose pictures become all of :data:`WISHES`; or a profile with
            photographs, which become the targets of all its scenarios of the first one's generator.
        rows: name -> row of the profile.

    Returns:
        what the pictures become and name of a row -> the run, of the profile's first seed.
    """
    seed = profile.seeds[0]
    if profile.photographs is None:
        wishes = [(wish, name) for wish in WISHES for name in rows]
        return {(wish.label, name): config_of(profile, wish, rows[name], seed) for wish, name in wishes}
    first = next(iter(profile.scenarios.values()))
    return {
        (f"{scenario.source_text} → {scenario.target_text}", name): profile.config(at, row, seed)
        for at, scenario in profile.scenarios.items()
        if scenario.generator == first.generator
        for name, row in rows.items()
    }


def pictures_of(profile: Profile, size: int) -> tuple[list[str], Tensor]:
    """The pictures of the figure: the first photographs of the profile's folder, or held-out dogs.

    Args:
        profile: the profile.
        size: pixels a side of its generator's images.

    Returns:
        names of N pictures, at most :data:`zsgan.inversion.pictures.SHOWN`, and the pictures
        (N, 3, size, size) in [-1, 1].

    Raises:
        ValueError: one of the photographs cannot be read; the message names it.
        FileNotFoundError: their folder is missing or empty.
    """
    if profile.photographs is None:
        return [f"dog {i + 1}" for i in range(SHOWN)], held_out(SHOWN)[:]
    files, pictures = first_in(local_path(profile.photographs), size)
    return names_of(files), pictures


def provenance(
    profile: Profile, pictures: Tensor, made: Collection[Run], networks: Networks
) -> dict[str, Any]:
    """Origin of the figures: profile, pictures, runs, and the weights of all networks.

    Args:
        profile: the profile.
        pictures: (N, 3, R, R) in [-1, 1], the pictures.
        made: the runs that they passed through, all of one generator and the same CLIPs.
        networks: networks of the inversion.

    Returns:
        the provenance for :func:`zsgan.report.figures.save_figure`.
    """
    config = next(iter(made)).config
    encoder = [] if networks.encoder is None else [f"encoder-{SPECIES}"]
    used = [config.generator, *encoder, *networks.eyes.networks, *config.clips]
    drawn = {"seed of the animals": HELD_OUT_SEED}
    return {
        "profile": profile.name,
        "runs": sorted(run.folder.name for run in made),
        "weights": {name: weights_id(name) for name in used},
        **(drawn if profile.photographs is None else {"photographs": content_hash({"images": pictures})}),
    }


def networks_in_words(networks: Networks) -> dict[str, str]:
    """What an inversion sees with, for the chapter's text.

    Args:
        networks: networks of the inversion.

    Returns:
        "loss_by" and "lpips_by", whose LPIPS the loss and the measurement have, and "kept_by", whose features
        tell what an edit keeps.
    """
    if networks.eyes.name == "evaluator":
        return {"loss_by": "the demo's encoder", "lpips_by": "its evaluator", "kept_by": "the evaluator"}
    return {"loss_by": "VGG-16", "lpips_by": "the same network", "kept_by": "Inception-v3"}


def held_out(n: int) -> Drawing:
    """Photos of n dogs that no network has seen."""
    return Drawing({"species": "dog", "style": "photo"}, n, seed=HELD_OUT_SEED)


@torch.no_grad()
def distances(eyes: Eyes, images: Tensor, answers: Tensor) -> dict[str, float]:
    """Mean distances of N images to their true answers.

    Args:
        eyes: eyes that read factors.
        images: (N, 3, H, W) in [-1, 1].
        answers: (N, 3, H, W), the true answers.

    Returns:
        "LPIPS" in the eyes' maps, and "factors": the root mean square over the continuous factors, which
        species and style are not, of the difference, in deviations of the world.
    """
    lpips = Lpips.through(eyes)
    apart = (lpips.features(images) - lpips.features(answers)).square().sum(1)
    read = [eyes.read(eyes.embed(seen)).continuous for seen in (images, answers)]
    return {"LPIPS": float(apart.mean()), "factors": float(factor_distance(*read).mean())}


def answers_of(factors: Factors, wishes: Sequence[Wish] = WISHES) -> dict[str, Tensor]:
    """Label of a wish -> the animals as it wants them, (N, 3, 64, 64)."""
    return {wish.label: draw(wish.answer(factors)) for wish in wishes}


def distance_table(found: Mapping[str, Mapping[str, Mapping[str, float]]], what: str) -> pd.DataFrame:
    """The distances of :func:`distances` as a table.

    Args:
        found: label of a wish -> what is compared with the answers -> distances.
        what: the distance, "LPIPS" or "factors".

    Returns:
        a line for each wish; columns such as "LPIPS, full method"; two decimals.
    """
    lines = {
        label: {f"{what}, {name}": distances[what] for name, distances in of.items()}
        for label, of in found.items()
    }
    return pd.DataFrame(lines).T.rename_axis("becomes").map("{:.2f}".format)


def kept_of(
    networks: Networks,
    inverted: Tensor,
    edits: Mapping[tuple[str, str], Tensor],
    device: torch.device | str = "cpu",
) -> pd.DataFrame:
    """How much of the inversions the edits keep: the cosine of their features.

    Args:
        networks: networks of the inversion, whose judge sees both.
        inverted: (N, 3, R, R) in [-1, 1], the inversions, on the CPU.
        edits: what the pictures become and name of a row -> (N, 3, R, R).
        device: device of the networks.

    Returns:
        a line for each picture, a column for each entry of ``edits``.
    """
    return pd.DataFrame(
        {key: kept(networks, inverted, made, device)["features kept"].numpy() for key, made in edits.items()}
    )


def kept_table(names: Sequence[str], latents: Mapping[str, Latents], cosines: pd.DataFrame) -> pd.DataFrame:
    """Quality of the inversions, and what the edits keep, as a table.

    Args:
        names: N names of the pictures.
        latents: space -> the pictures' latents in it.
        cosines: the answer of :func:`kept_of`.

    Returns:
        a line for each picture and one for the mean; columns such as "PSNR, w+" in dB and "kept, Dog → Cat,
        full method".
    """
    columns: dict[tuple[str, str], Any] = {}
    for space, found in latents.items():
        columns |= {(f"PSNR, {space}", ".1f"): found.psnr, (f"LPIPS, {space}", ".3f"): found.lpips}
    columns |= {(f"kept, {label}, {row}", ".2f"): torch.tensor(v) for (label, row), v in cosines.items()}
    lines = {
        what: [format(float(value), form) for value in (*values, values.mean())]
        for (what, form), values in columns.items()
    }
    return pd.DataFrame(lines, index=pd.Index([*names, "mean"], name="picture"))
