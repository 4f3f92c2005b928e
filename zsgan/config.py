"""What determines an adaptation: nested, typed and checked; the defaults are the paper's full method.

"open" marks what the paper leaves open: there the default is this project's reading. Settings have dotted
names, such as ``moment.lambda_cov``, on the command line and in :func:`override`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from zsgan.clip import imagenet_templates
from zsgan.ewc import Estimator, Granularity
from zsgan.layer_selection import LayerMap
from zsgan.losses import CovarianceReading, Distance, Reduction, Scale

Config = TypeVar("Config")
CHECKED = ConfigDict(extra="forbid", validate_default=True)


def _number(value: Any) -> Any:
    """YAML reads 1e4 as text, and pydantic takes True for 1."""
    if isinstance(value, bool):
        raise ValueError("a number expected")
    return float(value) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    """One text stands for a list of one."""
    return (value,) if isinstance(value, str) else value


Finite = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_number)]
Positive = Annotated[Finite, Field(gt=0)]
NonNegative = Annotated[Finite, Field(ge=0)]
Count = Annotated[int, Field(ge=1), BeforeValidator(_number)]
Pair = Annotated[int, Field(ge=2), BeforeValidator(_number)]
Decay = Annotated[Finite, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0), BeforeValidator(_number)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Texts = Annotated[tuple[Text, ...], Field(min_length=1), BeforeValidator(_several)]
Switch = Annotated[bool, Field(strict=True)]
Term = Literal["directional", "moment", "relation", "in_domain_angle", "ewc"]


@dataclass(frozen=True, config=CHECKED)
class Stage1:
    """Semantic variations of the target text, eq. (2)."""

    n_variations: Pair = 6  # K, sec. 4.1
    epsilon: Positive | None = None  # None: |E_T(t_trg)|, sec. 4.1
    lambda_div: NonNegative = 1.0  # sec. 4.1
    iterations: Count = 2000  # sec. 4.1
    lr: Positive = 0.002  # sec. 4.1
    start: Literal["random", "closed_form"] = "random"  # N(0, I) and Adam, or the optimum itself; open
    renormalise: Switch = False  # |v_i| brought back to |E_T(t_trg)|; printed: no


@dataclass(frozen=True, config=CHECKED)
class Features:
    """What the losses see of an image and of a text."""

    normalise: Switch = True  # unit-norm features; open
    antialias: Switch = True  # of the resize to CLIP's size; open
    direction_floor: Positive = 1e-8  # norms in the cosines count at least this, see directional_loss; open


@dataclass(frozen=True, config=CHECKED)
class Moment:
    """Directional moment loss, eq. (3)."""

    lambda_cov: NonNegative = 1e3  # sec. 4.1
    centre: Switch = False  # printed: not centred
    scale: Scale = "n"  # printed: "sum"; open, see CovarianceReading
    distance: Distance = "row"  # open
    normalise_directions: Switch = False  # printed: no

    @property
    def covariance(self) -> CovarianceReading:
        """The reading of the second moment."""
        return CovarianceReading(self.centre, self.scale, self.distance)


@dataclass(frozen=True, config=CHECKED)
class Ewc:
    """Fisher information of elastic weight consolidation, eq. (4)."""

    estimator: Estimator = "empirical"  # open
    granularity: Granularity = "element"  # open
    samples: Count = 1024  # open


@dataclass(frozen=True, config=CHECKED)
class Relation:
    """Relation consistency, eq. (5)."""

    temperature: Positive = 1.0  # open
    diagonal: Switch = True  # open
    reduction: Reduction = "batchmean"  # open


@dataclass(frozen=True, config=CHECKED)
class Optimiser:
    """Adam on the target generator."""

    iterations: Count = 2000  # span of Fig. 3a
    batch_size: Count = 4  # N, sec. 4.1
    lr: Positive = 0.002  # sec. 4.1
    betas: tuple[Decay, Decay] = (0.0, 0.99)  # sec. 4.1
    ema: Decay | None = (
        None  # decay of a moving average of the weights, which then is the result; printed: no
    )


@dataclass(frozen=True, config=CHECKED)
class Selection:
    """Adaptive layer selection of StyleGAN-NADA, anew before every step (Gal et al. 2022, sec. 4.3)."""

    k: Count  # layers trained in a step
    iterations: Count = 1  # steps on the latents by which layers are ranked
    layer_map: LayerMap = "corrected"  # see zsgan.layer_selection
    batch_size: Count = 8  # latents that rank the layers


def _full_method() -> Mapping[Term, float]:
    return {"moment": 1.0, "ewc": 1e7, "relation": 1e2}


@dataclass(frozen=True, config=CHECKED)
class AdaptConfig:
    """Everything that determines one adaptation."""

    generator: Text  # source generator G_src, see zsgan.names
    source_text: Text  # t_src
    target_text: Text  # t_trg
    clips: Texts = ("ViT-B-32/openai",)  # guiding CLIPs, sec. 4.1, see zsgan.names; several are averaged
    templates: Texts = ("imagenet",)  # "imagenet" (79 of StyleGAN-NADA), or texts with {}; open
    terms: Mapping[Term, NonNegative] = (
        Field(  # eq. (6), sec. 4.1: each loss of zsgan.objectives -> its weight
            default_factory=_full_method
        )
    )
    stage1: Stage1 = Field(default_factory=Stage1)
    features: Features = Field(default_factory=Features)
    moment: Moment = Field(default_factory=Moment)
    ewc: Ewc = Field(default_factory=Ewc)
    relation: Relation = Field(default_factory=Relation)
    optimiser: Optimiser = Field(default_factory=Optimiser)
    selection: Selection | None = None  # None: all trained parameters, always
    trained: Literal["convolutions", "convolutions_and_torgb"] = (
        "convolutions"  # see trained_parameters; open
    )
    shared_noise: Switch = False  # the same noise maps for the source's and the target's images; open
    seed: Seed = 0  # of stage 1, latents and noise

    @model_validator(mode="after")
    def _fit(self) -> "AdaptConfig":
        """Refuse what cannot work together, before anything is computed."""
        if not any(self.terms.values()):
            raise ValueError(f"terms={dict(self.terms)!r} has no loss of positive weight; add one")
        if self.source_text == self.target_text:
            raise ValueError(
                f"source_text={self.source_text!r} and target_text={self.target_text!r} are the same: "
                "there is no direction to follow"
            )
        for template in self.templates:
            if self.templates != ("imagenet",) and "{}" not in template:
                raise ValueError(f"templates: {template!r} has no {{}} where the text goes; add it")
        smallest = {
            "moment": 2 if self.moment.scale == "n-1" else 1,
            "relation": 2 if self.relation.diagonal else 3,
            "in_domain_angle": 2,
        }
        for term, n in smallest.items():
            if self.weights.get(term) and self.optimiser.batch_size < n:
                raise ValueError(
                    f"optimiser.batch_size={self.optimiser.batch_size} is too small for the term {term!r}, "
                    f"which needs {n} images"
                )
        return self

    @property
    def prompts(self) -> tuple[str, ...]:
        """Templates to hand to a CLIP."""
        return imagenet_templates() if self.templates == ("imagenet",) else self.templates

    @property
    def trainable(self) -> Literal["convolutions", "convolutions_and_torgb"]:
        """Which parameters may change: ``trained``, or all that layer selection chooses from."""
        return self.trained if self.selection is None else "convolutions_and_torgb"

    @property
    def weights(self) -> dict[str, float]:
        """The terms that count: those whose weight is not zero."""
        return {term: weight for term, weight in self.terms.items() if weight}


def settings(cls: type = AdaptConfig) -> list[str]:
    """The dotted name of every setting of a configuration class."""
    return list(_names(cls))


def _names(cls: type) -> Iterator[str]:
    hints = get_type_hints(cls)
    for item in fields(cls):
        kind = hints[item.name]
        inner = next((k for k in (kind, *get_args(kind)) if isinstance(k, type) and is_dataclass(k)), None)
        if inner is None:
            yield item.name
        else:
            yield from (f"{item.name}.{name}" for name in _names(inner))


def override(config: AdaptConfig, changes: Mapping[str, Any]) -> AdaptConfig:
    """``config`` with some settings replaced.

    Args:
        config: the configuration to start from; it is not changed.
        changes: dotted name (``moment.lambda_cov``, ``terms.ewc``) or group (``moment``) -> new value; of a
            group, only the settings that are given are replaced.

    Returns:
        a checked configuration.

    Raises:
        ValueError: a setting is unknown, or its value cannot be read or cannot work.
    """
    values: Mapping[str, Any] = asdict(config)
    for name, value in changes.items():
        for part in reversed(name.split(".")):
            value = {part: value}
        values = merge(values, value, replace=() if name.startswith("terms.") else REPLACED)
    return build(AdaptConfig, values)


REPLACED = ("terms",)
"""Settings that are mappings but no groups: a new value takes the place of the old one."""


def merge(
    base: Mapping[str, Any], new: Mapping[str, Any], replace: tuple[str, ...] = REPLACED
) -> dict[str, Any]:
    """Settings of ``base`` with those of ``new`` over them, group by group.

    Args:
        base: settings, groups being mappings.
        new: others; a group need not be complete.
        replace: names that are no groups.

    Returns:
        a new mapping.
    """
    merged = dict(base)
    for name, value in new.items():
        old = merged.get(name)
        groups = isinstance(value, Mapping) and isinstance(old, Mapping) and name not in replace
        merged[name] = merge(old, value) if groups else value  # type: ignore[arg-type]
    return merged


def build(cls: type[Config], values: Mapping[str, Any]) -> Config:
    """Make a configuration from plain values, as YAML or a command line gives them.

    Args:
        cls: a configuration class.
        values: name -> value; a group is a mapping of its own.

    Returns:
        the configuration.

    Raises:
        ValueError: a setting is unknown, missing, or its value cannot be read or cannot work.
    """
    try:
        return cls(**values)
    except ValidationError as error:
        raise ValueError("; ".join(_explained(cls, details) for details in error.errors())) from None


def _explained(cls: type, details: Mapping[str, Any]) -> str:
    name = ".".join(str(part) for part in details["loc"] if part != "[key]")
    message = details["msg"].removeprefix("Value error, ")
    if details["type"] == "unexpected_keyword_argument":
        known = settings(cls)
        close = [other for other in known if other.rpartition(".")[2] == name.rpartition(".")[2]]
        close = close or get_close_matches(name, known, cutoff=0.5) or known
        return f"setting {name!r} is unknown; {cls.__name__} has {', '.join(close)}"
    if details["type"] == "missing":
        return f"{cls.__name__} needs {name}; add it"
    return f"{name}={details['input']!r}: {message}" if name else message
