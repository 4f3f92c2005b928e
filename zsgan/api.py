"""Functions shared by the command line and Python: adapt, configure, and open a generator."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zsgan.adaptation.config import AdaptConfig
from zsgan.assets import names
from zsgan.base.device import set_up
from zsgan.base.places import folder_path, local_path
from zsgan.base.settings import build
from zsgan.networks.load import check_of_demo, load_generator
from zsgan.networks.stylegan2 import Generator
from zsgan.runs.identity import check
from zsgan.runs.profiles import Profile, load_profile
from zsgan.runs.run import RUNS, Run, named_run, run


def adapt(
    source: str | Path | None = None,
    text: str | None = None,
    *,
    source_text: str | None = None,
    profile: str | Path | None = None,
    scenario: str | None = None,
    row: str | None = None,
    seed: int = 0,
    folder: Path | str = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
    wait: bool = False,
) -> Run:
    """Adapt a generator to a text, or load the finished run.

    Args:
        source: source generator: "dog", "cat", a file (.pkl, .pt, .safetensors), or the folder of a run,
            whose adapted generator is adapted further; by default the scenario's.
        text: the target domain in words; the scenario's by default if ``source`` is, too. A row that adapts
            to images takes them from the profile or from the setting few_shot.target.
        source_text: the source domain in words; by default the name of the generator, or a run's target.
        profile: profile of the settings; by default the demo's, which is for generators of the demo world.
        scenario: scenario of the profile; its first by default.
        row: row of Table 1; the full method (the profile's last row) by default.
        seed: seed of variations, latents and noise.
        folder: folder of runs.
        device: torch device.
        progress: show progress bars.
        settings: dotted names of :class:`zsgan.adaptation.config.AdaptConfig`, such as "moment.lambda_cov" ->
            values that replace the profile's; "weights" -> "random" for random networks of the
            profile's shapes.
        wait: wait while another process makes the same run.

    Returns:
        the finished run, with the adapted generator and the history of its losses.

    Raises:
        ValueError: a name, a setting or a word of the text is unknown.
        FileNotFoundError: the file of a name is missing.
        RunInProgress: another process is making the same run, and ``wait`` is off.
    """
    set_up(device)  # first, to refuse an unknown device before any files are read
    config = configuration(
        source, text, source_text=source_text, profile=profile, scenario=scenario, row=row, seed=seed,
        settings=settings,
    )  # fmt: skip
    (job,) = check([config])
    return run(job, folder=folder_path(folder), device=device, progress=progress, wait=wait)


def configuration(
    source: str | Path | None = None,
    text: str | None = None,
    *,
    source_text: str | None = None,
    profile: str | Path | None = None,
    scenario: str | None = None,
    row: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> AdaptConfig:
    """The configuration that :func:`adapt` runs; see there for arguments and errors."""
    chosen = load_profile(profile)
    label = list(chosen.rows)[-1] if row is None else row
    settings = dict(settings or {})
    if "weights" in settings:
        chosen = build(Profile, {**vars(chosen), "weights": settings.pop("weights")})
    if source is not None and "generator" in settings:
        raise ValueError(f"source={str(source)!r} and the setting generator name two generators; give one")
    source = settings.pop("generator", None) if source is None else str(source)
    if source is not None and source_text is None:
        source_text = settings.pop("source_text", None) or _words_of(source, chosen)
    if source is not None and text is None and "target_text" not in settings:
        raise ValueError(f"text is needed: what should {source} make, in words?")
    place = {"generator": source, "source_text": source_text, "target_text": text}
    given = {name: value for name, value in place.items() if value is not None} | settings
    scenario = next(iter(chosen.scenarios)) if scenario is None else scenario
    config = chosen.config(scenario, label, seed, given)
    shown = chosen.scenarios[scenario].target_text
    named = any(name == "few_shot" or name.startswith("few_shot.target") for name in settings)
    if config.few_shot is not None and text not in (None, shown) and not named:
        raise ValueError(
            f"row {label!r} adapts to images, and those of {chosen.name!r} show {shown!r}, not "
            f"{text!r}; give others by the setting few_shot.target, a folder or the labels of drawings"
        )
    named_run(config.generator)  # which refuses a damaged one
    if profile is None:
        check_of_demo(config.generator)
    return config


def _words_of(source: str, profile: Profile) -> str:
    """The domain of a generator in words; an error asks for it where it is unknown."""
    if adapted := named_run(source):
        return adapted.config.target_text
    if names.is_generator(source):
        found = names.generator(source).name
        if names.of_demo(found, ""):
            return found.removeprefix("generator-")
        for scenario in profile.scenarios.values():
            if names.generator(scenario.generator).name == found:
                return scenario.source_text
    elif not local_path(source).is_file() and not Path(source).suffix:
        return names.generator(source).name  # random weights; other names raise an error here
    raise ValueError(f"source_text is needed: what does the generator in {source} make, in words?")


def open_generator(name: str, device: torch.device | str = "cpu") -> Generator:
    """The generator of a run's folder, or a source generator by name or file; also sets up the device."""
    set_up(device)
    adapted = named_run(name)
    return adapted.generator(device=device) if adapted else load_generator(name, device)
