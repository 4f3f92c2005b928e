"""Profiles: scenarios, rows, seeds and samples, read from ``zsgan/profiles/<name>.yaml`` and checked."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from zsgan.adaptation.config import AdaptConfig, override
from zsgan.adaptation.plugged import rows_of
from zsgan.assets import names
from zsgan.base.pictures import ENDINGS, find
from zsgan.base.places import local_path
from zsgan.base.settings import (
    CHECKED,
    AtLeast1,
    AtLeast2,
    Psi,
    Seed,
    Switch,
    Text,
    build,
    merge,
)
from zsgan.base.yaml_values import read_yaml
from zsgan.metrics.columns import NAMED
from zsgan.runs.scenario import Scenario
from zsgan.runs.snapshots import Snapshots, check_saved

PROFILES = Path(__file__).parents[1] / "profiles"


@dataclass(frozen=True, config=CHECKED)
class Profile:
    """A named set of configurations.

    Attributes:
        name: name of the profile.
        scenarios: name -> scenario; the first is the one of Table 1.
        rows: label of a table row -> its settings; a few_shot without a target takes that of the truth.
        settings: settings common to all rows; those of a row override them, its number of iterations too.
        overrides: settings that override those of all rows, such as few steps for a quick look. Only a
            caller's settings (``--set``, ``--iterations``) override these.
        seeds: seeds of every row's runs.
        samples: number of images for all measurements, of each snapshot of a run and of the target's truth.
        judge: a CLIP that guides no row.
        eyes: networks behind LPIPS, FID and similar metrics: the "evaluator" of the demo world, or
            "photographs" (VGG-16 and Inception-v3).
        measures: measures beside those of every profile: some of :data:`zsgan.metrics.columns.NAMED`.
        summarised: whether measurements are written as tables beside the profile's file instead of a book.
        banner: text at the top of every page of the profile's book.
        ablations: the profile whose summary the book shows as this one's ablations, if it was made.
        photographs: folder of photographs of the first scenario's source domain, of any size, which the book
            edits (Figure 7); ``None`` leaves the chapter to the demo, which draws its own.
        sheets: whether a picture of each scenario is written beside these tables, see
            :mod:`zsgan.report.scenario_sheet`; for few rows.
        snapshots: whether runs are measured at all their snapshots, for curves and for comparisons at equal
            target rates, or at those of the named steps, which every longer row's runs must have; off, a
            summary has their ends alone, in a fraction of the time.
        baseline: the row that others are compared with; ``None`` for the first.
        clusters: k of the k-medoids in intra-cluster LPIPS.
        neighbours: k of precision and recall.
        truncation_psi: truncation in evaluation.
        other_psi: a second truncation at which the source is measured, for comparison.
        weights: "published", or "random" to measure costs: generators and CLIPs then have the right shapes
            and random weights. Results mean nothing, and configurations and runs say so by name.
        random: settings that override all others with random weights, such as fewer samples.
    """

    name: Text
    scenarios: Annotated[Mapping[str, Scenario], Field(min_length=1)]
    rows: Annotated[Mapping[str, Mapping[str, Any]], Field(min_length=1)]
    settings: Mapping[str, Any]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    samples: AtLeast2
    judge: Text
    eyes: Literal["evaluator", "photographs"] = "evaluator"
    measures: tuple[Text, ...] = ()
    summarised: Switch = False
    banner: Text | None = None
    ablations: Text | None = None
    photographs: Text | None = None
    sheets: Switch = False
    snapshots: Snapshots = True
    baseline: Text | None = None
    clusters: AtLeast1 = 10
    neighbours: AtLeast1 = 3
    truncation_psi: Psi = 0.7
    other_psi: Psi = 1.0
    overrides: Mapping[str, Any] = Field(default_factory=dict)
    weights: Literal["published", "random"] = "published"
    random: Mapping[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fit(self) -> "Profile":
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds={list(self.seeds)} has one twice; name each once")
        if self.clusters >= self.samples:
            raise ValueError(f"clusters={self.clusters} must be below samples={self.samples}")
        if self.neighbours >= self.samples:
            raise ValueError(f"neighbours={self.neighbours} must be below samples={self.samples}")
        for name in self.measures:
            _choice("measures", name, NAMED)
        if self.sheets and not self.summarised:
            raise ValueError("sheets=true needs summarised=true: the pictures lie beside a summary's tables")
        if self.snapshots is not True and not self.summarised:
            given = "false" if self.snapshots is False else list(self.snapshots)
            raise ValueError(
                f"snapshots={given} needs summarised=true: a book's figures are of all snapshots"
            )
        if self.photographs is not None:
            _check_photographs(self.photographs)
        if self.baseline is not None:
            _choice("baseline", self.baseline, tuple(self.rows))
        judge, first = names.clip(self.judge), next(iter(self.scenarios))
        for row in self.rows:
            config = self.config(first, row)
            if config.few_shot is not None:
                names.discriminator(config.few_shot.discriminator, names.generator(config.generator))
            if config.difa is not None:
                names.encoder(config.difa.encoder, names.generator(config.generator))
            for name in config.clips:
                if names.clip(name).same_as(judge):
                    raise ValueError(
                        f"judge={self.judge!r} also guides row {row!r}: a CLIP cannot judge what "
                        "it guided; name another CLIP"
                    )
        return self

    def config(
        self, scenario: str, row: str, seed: int = 0, settings: Mapping[str, Any] | None = None
    ) -> AdaptConfig:
        """The configuration of one run.

        Args:
            scenario: one of the profile's.
            row: one of the profile's.
            seed: seed of the run.
            settings: a caller's settings, over all others.

        Returns:
            the configuration.

        Raises:
            ValueError: the profile has no such scenario or row, or its settings do not fit.
        """
        _choice("scenario", scenario, tuple(self.scenarios))
        _choice("row", row, tuple(self.rows))
        found = self.scenarios[scenario]
        try:
            if self.weights == "random":
                found = found.random()
            place = {name: getattr(found, name) for name in ("generator", "source_text", "target_text")}
            values = merge(self.settings, self.rows[row], self.overrides, place, {"seed": seed})
            if isinstance(few_shot := values.get("few_shot"), Mapping):
                of_scenario = {"target": found.truth, "discriminator": found.discriminator}
                values["few_shot"] = {**of_scenario, **few_shot}
            config = build(AdaptConfig, values)
            if self.weights == "random":
                config = override(config, self.random, _random_networks(config))
        except ValueError as error:
            raise ValueError(f"row {row!r} of scenario {scenario!r}: {error}") from None
        return override(config, settings) if settings else config

    def rows_of(self, scenario: str) -> tuple[str, ...]:
        """The rows that a scenario has all data for: those that images guide need images of its target."""
        few_shot = {row: self.config(scenario, row).few_shot for row in self.rows}
        return tuple(row for row, found in few_shot.items() if found is None or found.target)

    def measured(self, snapshots: Sequence[int]) -> list[int]:
        """Those of a run's snapshots at which it is measured, the last one always; by their steps."""
        if self.snapshots is True:
            return list(snapshots)
        wanted = {*(self.snapshots or ()), snapshots[-1]}
        return [step for step in snapshots if step in wanted]

    def check_snapshots(self) -> None:
        """Refuse named steps at which a row's runs are not saved; a caller's own settings may miss them."""
        if not isinstance(self.snapshots, bool):
            configs = {row: self.config(next(iter(self.scenarios)), row) for row in self.rows}
            check_saved(self.snapshots, {row: config.optimiser.iterations for row, config in configs.items()})

    @property
    def grid(self) -> list[tuple[str, str, int]]:
        """Scenario, row and seed of every run that the scenarios have the data for."""
        return [(at, row, seed) for at in self.scenarios for row in self.rows_of(at) for seed in self.seeds]


def _random_networks(config: AdaptConfig) -> dict[str, Any]:
    """The settings for random networks beside the generator, of the same shapes."""
    architectures = [names.clip(name).architecture for name in config.clips]
    if not all(architectures):
        raise ValueError(f"weights=random is for CLIPs of open_clip, not for {list(config.clips)}")
    clips = {"clips": [f"{architecture}/random" for architecture in architectures]}
    return clips if config.few_shot is None else {**clips, "few_shot.discriminator": None}


def load_profile(name: str | Path | None = None, methods: Sequence[str] = ()) -> Profile:
    """Read and check a profile; its rows with the first scenario, the others in :meth:`Profile.config`.

    Args:
        name: "smoke", "demo" (the default), "paper", "colab"..., or the path of a .yaml or .yml file; with
            ``extends: paper``, the file has only the differences. Paths in it are relative to the current
            folder, and a tilde is the home folder.
        methods: Python files whose methods become rows, after those of the file's entry "methods", see
            :func:`zsgan.adaptation.plugged.rows_of`.

    Returns:
        the profile.

    Raises:
        ValueError: there is no such profile, or its file lacks an entry or has a wrong one.
    """
    name = "demo" if name is None else str(name)
    content = _read(name, ())
    if "name" in content:
        raise ValueError(f"{profile_file(name)}: a profile is called like its file; take 'name' out")
    for method in (*_methods(content.pop("methods", ()), profile_file(name)), *methods):
        own, known = rows_of(method), content.get("rows", {})
        if twice := own.keys() & known:
            raise ValueError(f"{method}: the profile has a row {sorted(twice)[0]!r} already; rename it")
        content["rows"] = {**known, **own}
    try:
        found = build(Profile, {"name": name, **content})
        found.check_snapshots()
    except ValueError as error:
        raise ValueError(f"{profile_file(name)}: {error}") from None
    return found


def profile_file(name: str) -> Path:
    """Path of the profile of a name, whether or not the file exists."""
    return local_path(name) if is_file_name(name) else PROFILES / f"{name}.yaml"


def is_file_name(name: str) -> bool:
    """Whether a profile's name is the path of a file, not one of those that ship."""
    return name.lower().endswith((".yaml", ".yml"))


def _read(name: Any, above: tuple[str, ...]) -> dict[str, Any]:
    """Content of a profile's file; an extending profile replaces entries and merges settings."""
    what = f"{profile_file(above[-1])}: extends" if above else "profile"
    if name in above:
        raise ValueError(f"{what} {name!r}, which extends it: {' -> '.join((*above, name))}")
    if not (isinstance(name, str) and is_file_name(name)):
        known = tuple(sorted(path.stem for path in PROFILES.glob("*.yaml")))
        _choice(what, name, known, "one of {}, or the path of a .yaml file")
    file = profile_file(name)
    if not file.is_file():
        others = [path.name for path in file.parent.glob("*") if is_file_name(path.name)]
        near = get_close_matches(file.name, others, cutoff=0.4)
        hint = f"; the closest in its folder: {', '.join(near)}" if near else ""
        raise ValueError(f"{what}={name!r}: there is no file {file}{hint}")
    content = read_yaml(file)
    if not isinstance(content, dict):
        got = "nothing" if content is None else f"a {type(content).__name__}"
        raise ValueError(f"{file} must hold entries such as 'scenarios:', got {got}")
    if "extends" not in content:
        return content
    base = _read(content.pop("extends"), (*above, name))
    settings = content.pop("settings", {})
    if not isinstance(settings, dict):
        raise ValueError(f"{file}: settings must be names and values, got {settings!r}")
    return {**base, **content, "settings": merge(base.get("settings", {}), settings)}


def _methods(given: Any, file: Path) -> Sequence[str]:
    listed = [given] if isinstance(given, str) else given
    if not (isinstance(listed, list | tuple) and all(isinstance(method, str) for method in listed)):
        raise ValueError(f"{file}: methods={given!r} must be a list of Python files, such as [mine.py]")
    return listed


def _check_photographs(given: str) -> None:
    folder = local_path(given)
    if not folder.is_dir():
        raise ValueError(f"photographs: there is no folder {folder}; name one with pictures of the source")
    if not find(folder)[0]:
        endings = ", ".join(sorted(ENDINGS))
        raise ValueError(f"photographs: {folder} holds no picture ({endings}); name another folder")


def _choice(what: str, value: Any, known: tuple[str, ...], choices: str = "one of {}") -> None:
    if value not in known:
        raise ValueError(f"{what}={value!r} is unknown; choose {choices.format(', '.join(known))}")
