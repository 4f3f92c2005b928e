"""Configurations: what determines an adaptation, the paper's numbers by default; and sets of them."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from zsgan.clip import imagenet_templates
from zsgan.ewc import Estimator, Granularity
from zsgan.losses import CovarianceReading, Reduction

PROFILES = Path(__file__).with_name("profiles")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "direction": ("directional", "moment"),
    "variation_start": ("random", "closed_form"),
    "trained": ("convolutions", "convolutions_and_torgb"),
    "fisher_estimator": get_args(Estimator),
    "fisher_granularity": get_args(Granularity),
    "relation_reduction": get_args(Reduction),
}
"""Fields of :class:`AdaptConfig` that name one of several -> what they may be."""


@dataclass(frozen=True)
class AdaptConfig:
    """Everything that determines one adaptation; the defaults are the paper's full method.

    "open" marks what the paper leaves open: there the default is this project's reading.
    """

    generator: str  # source generator G_src: a name in data_manifest.yaml, or a file
    source_text: str  # t_src
    target_text: str  # t_trg
    clips: tuple[str, ...] = ("ViT-B-32/openai",)  # guiding CLIPs, sec. 4.1; several are averaged
    templates: tuple[str, ...] = (
        "imagenet",
    )  # prompts: "imagenet" (79 of StyleGAN-NADA), or texts with {}; open

    n_variations: int = 6  # K, sec. 4.1
    epsilon: float | None = None  # None: |E_T(t_trg)|, sec. 4.1
    lambda_div: float = 1.0  # eq. (2), sec. 4.1
    variation_iterations: int = 2000  # sec. 4.1
    variation_lr: float = 0.002  # sec. 4.1
    variation_start: str = "random"  # "random" N(0, I) and Adam, or "closed_form"; open
    renormalise_variations: bool = False  # |v_i| brought back to |E_T(t_trg)|; printed: no

    direction: str = "moment"  # "directional" for eq. (1), "moment" for eq. (3)
    lambda_cov: float = 1e3  # eq. (3), sec. 4.1
    covariance_centre: bool = False  # printed: not centred
    covariance_scale: str = "n"  # printed: "sum"; open, see CovarianceReading
    covariance_distance: str = "row"  # open
    normalise_directions: bool = False  # printed: no
    direction_floor: float = 1e-8  # norms in the cosines count at least this; see directional_loss; open

    lambda_ewc: float = 1e7  # eq. (4), sec. 4.1
    fisher_estimator: str = "empirical"  # open
    fisher_granularity: str = "element"  # open
    fisher_samples: int = 1024  # open

    lambda_rel: float = 1e2  # eq. (5), sec. 4.1
    relation_temperature: float = 1.0  # open
    relation_diagonal: bool = True  # open
    relation_reduction: str = "batchmean"  # open

    iterations: int = 2000  # span of Fig. 3a
    batch_size: int = 4  # N, sec. 4.1
    lr: float = 0.002  # sec. 4.1
    betas: tuple[float, ...] = (0.0, 0.99)  # sec. 4.1
    trained: str = "convolutions"  # "convolutions" with constant, affine, noise and bias; or ToRGB too; open
    seed: int = 0  # of stage 1, latents and noise

    def __post_init__(self) -> None:
        """Refuse values that cannot work, before anything is computed."""
        for name, known in CHOICES.items():
            _choice(name, getattr(self, name), known)
        for name in ("iterations", "batch_size", "fisher_samples", "variation_iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lambda_div", "lambda_cov", "lambda_ewc", "lambda_rel"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {getattr(self, name)}")
        if self.epsilon is not None and not 0 < self.epsilon < math.inf:
            raise ValueError(f"epsilon must be finite and above 0, got {self.epsilon}")
        for name in ("lr", "variation_lr", "relation_temperature", "direction_floor"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be finite and above 0, got {getattr(self, name)}")
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {self.betas}")
        if self.n_variations < 2:
            raise ValueError(f"n_variations must be at least 2, got {self.n_variations}")
        if self.covariance_scale == "n-1" and self.batch_size < 2:
            raise ValueError("batch_size must be at least 2 for covariance_scale='n-1', got 1")
        related = 2 if self.relation_diagonal else 3
        if self.lambda_rel > 0 and self.batch_size < related:
            raise ValueError(
                f"batch_size must be at least {related} for the relation loss, got {self.batch_size}; "
                "or set lambda_rel=0"
            )
        if not self.clips:
            raise ValueError("clips must name at least one model")
        _ = self.covariance

    @property
    def covariance(self) -> CovarianceReading:
        """The reading of the second moment in eq. (3)."""
        return CovarianceReading(
            self.covariance_centre,
            self.covariance_scale,  # type: ignore[arg-type]
            self.covariance_distance,  # type: ignore[arg-type]
        )

    @property
    def prompts(self) -> tuple[str, ...] | None:
        """Templates to hand to a CLIP."""
        return imagenet_templates() if self.templates == ("imagenet",) else self.templates


@dataclass(frozen=True)
class Scenario:
    """One source and one target domain.

    Attributes:
        generator: the source generator.
        source_text: what it was trained on, in words.
        target_text: what it shall make, in words.
        truth: factors that all images of the target domain share (demo world), such as {"species": "cat"}.
    """

    generator: str
    source_text: str
    target_text: str
    truth: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """A named set of configurations, read from ``zsgan/profiles/<name>.yaml``.

    Attributes:
        name: of the profile.
        scenarios: name -> scenario; the first is the one of Table 1.
        rows: label of a table row -> the fields of AdaptConfig that make it.
        settings: fields of AdaptConfig common to all rows.
        seeds: of the runs of every row.
        samples: images that the final metrics are computed on, of each run and of the target's truth.
        curve_samples: images for each point of a curve over iterations.
        clusters: k of the k-medoids in intra-cluster LPIPS.
        neighbours: k of precision and recall.
        truncation_psi: of evaluation.
        judge: a CLIP that no row is guided by.
    """

    name: str
    scenarios: Mapping[str, Scenario]
    rows: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    samples: int
    curve_samples: int
    judge: str
    clusters: int = 10
    neighbours: int = 3
    truncation_psi: float = 0.7

    def config(self, scenario: str, row: str, seed: int = 0) -> AdaptConfig:
        """The configuration of one run.

        Raises:
            ValueError: the profile has no such scenario or row.
        """
        _choice("scenario", scenario, tuple(self.scenarios))
        _choice("row", row, tuple(self.rows))
        place = {k: v for k, v in asdict(self.scenarios[scenario]).items() if k != "truth"}
        return build(AdaptConfig, {**place, **self.settings, **self.rows[row], "seed": seed})


def load_profile(name: str) -> Profile:
    """Read a profile by name.

    Raises:
        ValueError: there is no such profile, or its file lacks an entry or has a wrong one.
    """
    known = sorted(path.stem for path in PROFILES.glob("*.yaml"))
    _choice("profile", name, tuple(known))
    content = _read(name)
    needed = [f.name for f in fields(Profile) if f.default is MISSING and f.name != "name"]
    if missing := [entry for entry in needed if entry not in content]:
        raise ValueError(
            f"{PROFILES / name}.yaml has no {', '.join(missing)}; a profile needs {', '.join(needed)}. "
            "Add what is missing, or 'extends: demo' to take it from there"
        )
    scenarios = {key: build(Scenario, value) for key, value in content.pop("scenarios").items()}
    profile: Profile = build(Profile, {"name": name, "scenarios": scenarios, **content})
    for scenario in profile.scenarios:
        for row in profile.rows:
            profile.config(scenario, row)
    return profile


def _read(name: str) -> dict[str, Any]:
    """A profile's file; one that extends another replaces its entries, and adds to its settings."""
    content: dict[str, Any] = yaml.safe_load((PROFILES / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    if "extends" not in content:
        return content
    base = _read(content.pop("extends"))
    settings = {**base.get("settings", {}), **content.pop("settings", {})}
    return {**base, **content, "settings": settings}


def override(config: AdaptConfig, settings: Mapping[str, Any]) -> AdaptConfig:
    """``config`` with some fields replaced, given as values or as text (``lambda_ewc=1e4``).

    Raises:
        ValueError: a field is unknown, or its value cannot be read or cannot work.
    """
    return replace(config, **_coerced(AdaptConfig, settings))


def build(cls: type, values: Mapping[str, Any]) -> Any:
    """Make a configuration from plain values, as YAML or a command line gives them.

    Raises:
        ValueError: a field is unknown, missing, or of the wrong type.
    """
    values = _coerced(cls, values)
    try:
        return cls(**values)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from None


def _coerced(cls: type, values: Mapping[str, Any]) -> dict[str, Any]:
    types = get_type_hints(cls)
    known = [f.name for f in fields(cls)]
    for name in values:
        _choice("setting", name, tuple(known))
    return {name: _coerce(name, value, types[name]) for name, value in values.items()}


def _coerce(name: str, value: Any, kind: Any) -> Any:
    """Bring a value of YAML or of a command line to the type of its field (YAML reads 1e4 as text)."""
    options = get_args(kind)
    try:
        if type(None) in options:
            kind = next(option for option in options if option is not type(None))
            return None if value is None or value == "null" else _coerce(name, value, kind)
        if get_origin(kind) is tuple:
            parts = yaml.safe_load(value) if isinstance(value, str) and value.startswith("[") else value
            parts = [parts] if isinstance(parts, str | int | float) else parts
            return tuple(_coerce(name, part, options[0]) for part in parts)
        if kind is bool:
            value = yaml.safe_load(value) if isinstance(value, str) else value
            if not isinstance(value, bool):
                raise ValueError("true or false expected")
            return value
        if kind is int and (isinstance(value, bool) or float(value) != int(float(value))):
            raise ValueError("a whole number expected")
        if kind is int:
            return int(float(value))
        if kind is float:
            return float(value)
        if kind is str and not isinstance(value, str):
            raise ValueError("text expected")
    except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:
        raise ValueError(f"{name}={value!r} cannot be read as {kind}: {error}") from None
    return value


def _choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{what}={value!r} is unknown; choose one of {', '.join(known)}")
