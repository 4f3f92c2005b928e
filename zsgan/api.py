"""What the command line and a few lines of Python share."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from zsgan import names
from zsgan.checking import build
from zsgan.config import AdaptConfig, override
from zsgan.device import set_up
from zsgan.models import load_generator
from zsgan.profiles import Profile, load_profile
from zsgan.runs import RUNS, Run, open_run, run
from zsgan.stylegan2 import Generator


def adapt(
    source: str | None = None,
    text: str | None = None,
    *,
    source_text: str | None = None,
    profile: str = "demo",
    scenario: str | None = None,
    row: str | None = None,
    seed: int = 0,
    folder: Path = RUNS,
    device: torch.device | str = "cpu",
    progress: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Run:
    """Adapt a generator to a text, or find the finished run.

    Args:
        source: source generator: "dog", "cat", or a file (.pkl, .pt, .safetensors); by default the
            scenario's.
        text: the target domain in words; the scenario's by default, if ``source`` is, too. A row that adapts
            to images has them from the profile, or by the setting few_shot.target.
        source_text: what the source generator makes; the name of the generator by default.
        profile: where the settings come from.
        scenario: of the profile; its first by default.
        row: row of Table 1; the full method (the profile's last row) by default.
        seed: of variations, latents and noise.
        folder: of runs.
        device: torch device.
        progress: show progress bars.
        settings: dotted names of :class:`zsgan.config.AdaptConfig`, such as "moment.lambda_cov" -> values
            that take the place of the profile's; "weights" -> "random" for random networks of the profile's
            shapes.

    Returns:
        the finished run, which gives the adapted generator and the history of its losses.

    Raises:
        ValueError: a name, a setting or a word of the text is unknown.
        FileNotFoundError: the file of a name is missing.
        RunInProgress: another process is making the same run.
    """
    set_up(device)  # which refuses a device that is not there before any file is looked for
    config = configuration(
        source, text, source_text=source_text, profile=profile, scenario=scenario, row=row, seed=seed,
        settings=settings,
    )  # fmt: skip
    return run(config, folder=folder, device=device, progress=progress)


def configuration(
    source: str | None = None,
    text: str | None = None,
    *,
    source_text: str | None = None,
    profile: str = "demo",
    scenario: str | None = None,
    row: str | None = None,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> AdaptConfig:
    """What :func:`adapt` would run; its arguments and errors are explained there."""
    chosen = load_profile(profile)
    label = list(chosen.rows)[-1] if row is None else row
    settings = dict(settings or {})
    if "weights" in settings:
        chosen = build(Profile, {**vars(chosen), "weights": settings.pop("weights")})
    place = {"generator": source, "source_text": source_text, "target_text": text}
    if source is not None and source_text is None:
        if Path(source).suffix:
            raise ValueError(f"source_text is needed: what does the generator in {source} make, in words?")
        place["source_text"] = source.removeprefix("generator-")
    if source is not None and text is None:
        raise ValueError(f"text is needed: what shall {source} make, in words?")
    base = chosen.config(next(iter(chosen.scenarios)) if scenario is None else scenario, label, seed)
    named = any(name == "few_shot" or name.startswith("few_shot.target") for name in settings)
    if base.few_shot is not None and text not in (None, base.target_text) and not named:
        raise ValueError(
            f"row {label!r} adapts to images, and those of {profile!r} show {base.target_text!r}, not "
            f"{text!r}; give others by the setting few_shot.target, a folder or the labels of drawings"
        )
    given = {name: value for name, value in place.items() if value is not None}
    return override(base, {**given, **settings})


def open_generator(name: str, device: torch.device | str = "cpu") -> Generator:
    """The generator of a run's folder, or a source generator by name or file, on a device made ready."""
    set_up(device)
    if Path(name).is_dir() and not names.is_generator(name):
        return open_run(Path(name)).generator(device=device)
    return load_generator(name, device)
