"""Configuration of an adaptation: nested, typed and checked; the defaults are the paper's full method.

"open" marks settings that the paper leaves open, whose default is this project's reading. On the command line
and in :func:`override`, settings have dotted names, such as ``moment.lambda_cov``.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass

from zsgan.adaptation.rival_settings import Air, Difa, FewShot, Ipl, Local, Selection, Spectral
from zsgan.adaptation.speed import Speed, check_row
from zsgan.base.settings import (
    CHECKED,
    AtLeast0,
    AtLeast1,
    AtLeast2,
    BatchSize,
    Decay,
    NonNegative,
    Positive,
    Seed,
    Switch,
    Text,
    Texts,
    build,
    check_texts,
    merge,
)
from zsgan.method.ewc import Estimator, Granularity
from zsgan.method.losses import CovarianceReading, Distance, Reduction, Scale
from zsgan.networks.clip import imagenet_templates

Trained = Literal[
    "convolutions", "convolutions_and_torgb", "convolutions_without_affine", "affine", "styles"
]  # fmt: skip
OF_TEXTS = ("selection", "air", "difa", "ipl", "guide", "trainer")
"""Settings of adaptations to texts, which are None by default."""
LOOPS = ("air", "difa", "trainer")
"""Those that are a training loop of their own."""
Term = Literal["directional", "moment", "relation", "in_domain_angle", "ewc", "spectral", "local"]


def is_plugged(term: str) -> bool:
    """Whether a term is plugged in, as FILE.py:FUNCTION or MODULE:FUNCTION, rather than the package's."""
    return ":" in term


def _plugged(name: str) -> str:
    if not is_plugged(name):
        raise ValueError("give FILE.py:NAME or MODULE:NAME, see zsgan.adaptation.plugged")
    return name


def _known(term: str) -> str:
    if term not in get_args(Term) and not is_plugged(term):
        known = ", ".join(map(repr, get_args(Term)))
        raise ValueError(f"choose one of {known}, or a function of your own, FILE.py:FUNCTION")
    return term


def _weighed(value: Any) -> Any:
    """A weight, or a mapping of "weight" and the settings of a plugged-in term."""
    weight = value.get("weight") if isinstance(value, Mapping) else value
    checked = TypeAdapter(NonNegative).validate_python(weight)
    return {**value, "weight": checked} if isinstance(value, Mapping) else checked


Plug = Annotated[Text, AfterValidator(_plugged)]
TermName = Annotated[str, AfterValidator(_known)]
Weight = Annotated[Any, BeforeValidator(_weighed)]


@dataclass(frozen=True, config=CHECKED)
class Stage1:
    """Semantic variations of the target text, eq. (2)."""

    n_variations: AtLeast2 = 6  # K, sec. 4.1
    epsilon: Positive | None = None  # None: |E_T(t_trg)|, sec. 4.1
    lambda_div: NonNegative = 1.0  # sec. 4.1
    iterations: AtLeast1 = 2000  # sec. 4.1
    lr: Positive = 0.002  # sec. 4.1
    start: Literal["random", "closed_form", "captions"] = (
        "random"  # N(0, I) and Adam, the optimum itself, or attributes of the target in words; open
    )
    attributes: tuple[Text, ...] = ()  # for captions: K texts with {}, such as "white {}"; not in the paper
    seed: Seed | None = None  # of the random start; None: the run's
    renormalise: Switch = False  # rescale |v_i| to |E_T(t_trg)|; printed: no

    @model_validator(mode="after")
    def _fit(self) -> "Stage1":
        if (self.start == "captions") != bool(self.attributes):
            raise ValueError(
                f"stage1: start={self.start!r} and attributes={list(self.attributes)} do not fit; attributes "
                "belong to start: captions, which needs them"
            )
        if self.attributes and len(self.attributes) != self.n_variations:
            raise ValueError(
                f"stage1: n_variations={self.n_variations} must be the number of attributes, "
                f"{len(self.attributes)}"
            )
        for attribute in self.attributes:
            if "{}" not in attribute:
                raise ValueError(
                    f"stage1.attributes: {attribute!r} has no {{}} where the target goes; add it"
                )
        return self


@dataclass(frozen=True, config=CHECKED)
class Features:
    """Features of images and texts that the losses see."""

    normalise: Switch = True  # unit-norm features; open
    antialias: Switch = True  # of the resize to CLIP's size; open
    crops: Annotated[AtLeast0, Field(le=1024)] = (
        0  # views of each image whose features are averaged, see zsgan.rivals.crops; 0: the whole image
    )
    direction_floor: Positive = 1e-8  # lower bound of the norms in the cosines, see directional_loss; open


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
    samples: AtLeast1 = 1024  # open


@dataclass(frozen=True, config=CHECKED)
class Relation:
    """Relation consistency, eq. (5)."""

    temperature: Positive = 1.0  # open
    diagonal: Switch = True  # open
    reduction: Reduction = "batchmean"  # open


@dataclass(frozen=True, config=CHECKED)
class Optimiser:
    """Adam on the target generator."""

    iterations: AtLeast1 = 2000  # span of Fig. 3a
    stop_at_plateau: Switch = False  # stop earlier at a plateau, see zsgan.adaptation.stopping
    batch_size: BatchSize = 4  # N, sec. 4.1
    lr: Positive = 0.002  # sec. 4.1
    betas: tuple[Decay, Decay] = (0.0, 0.99)  # sec. 4.1
    ema: Decay | None = None  # decay of a moving average of the weights, returned as the result; printed: no


def _full_method() -> Mapping[str, float]:
    return {"moment": 1.0, "ewc": 1e7, "relation": 1e2}


@dataclass(frozen=True, config=CHECKED)
class AdaptConfig:
    """Everything that determines one adaptation."""

    generator: Text  # source generator G_src, see zsgan.assets.names
    source_text: Text  # t_src
    target_text: Text  # t_trg
    clips: Texts = ("ViT-B-32/openai",)  # sec. 4.1, see zsgan.assets.names; several are averaged
    templates: Texts = ("imagenet",)  # "imagenet" (79 of StyleGAN-NADA), or texts with {}; open
    # eq. (6), sec. 4.1: each loss of zsgan.adaptation.terms -> its weight
    terms: Mapping[TermName, Weight] = Field(default_factory=_full_method)
    stage1: Stage1 = Field(default_factory=Stage1)
    features: Features = Field(default_factory=Features)
    moment: Moment = Field(default_factory=Moment)
    ewc: Ewc = Field(default_factory=Ewc)
    relation: Relation = Field(default_factory=Relation)
    spectral: Spectral = Field(default_factory=Spectral)
    local: Local = Field(default_factory=Local)
    optimiser: Optimiser = Field(default_factory=Optimiser)
    selection: Selection | None = None  # None: all trained parameters, always
    air: Air | None = None  # not None: a second direction, from a generator on the way
    difa: Difa | None = None  # not None: coordinates of an encoder's latents are kept
    ipl: Ipl | None = None  # not None: a direction for each image, in the term "directional"
    few_shot: FewShot | None = None  # not None: few images guide instead of a text; then terms must be {}
    trained: Trained = "convolutions"  # see trained_parameters; open
    shared_noise: Switch = False  # the same noise maps for the source's and the target's images; open
    guide: Plug | None = None  # a function that replaces what the losses follow; None: the texts
    trainer: Plug | None = None  # a training loop; None: zsgan.adaptation.by_text.Adaptation
    seed: Seed = 0  # of stage 1, latents and noise
    speed: Speed = Field(default_factory=Speed)  # faster steps, all off

    @model_validator(mode="after")
    def _fit(self) -> "AdaptConfig":
        """Refuse settings that contradict each other."""
        if self.few_shot is not None:
            of_text = {name: getattr(self, name) for name in OF_TEXTS}
            if self.weights or any(value is not None for value in of_text.values()):
                listed = "".join(f", {name}={value}" for name, value in of_text.items())
                raise ValueError(
                    f"few_shot adapts to images, but terms={self.weights}{listed} belong to a text; give "
                    "terms: {} alone"
                )
        elif not self.weights:
            raise ValueError(f"terms={dict(self.terms)!r} has no loss of positive weight; add one")
        if self.ipl is not None and "directional" not in self.weights:
            raise ValueError(f"ipl is for the term 'directional', which terms={self.weights} lacks; add it")
        if self.air is not None:
            self.air.check_template(self.prompts[0])
        loops = [f"{name}={loop}" for name in LOOPS if (loop := getattr(self, name)) is not None]
        if len(loops) > 1:
            raise ValueError(f"{' and '.join(loops)} are training loops of their own; take one")
        functions = [name.rpartition(":")[2] for name in self.plugs]
        if len(set(functions)) < len(functions):
            raise ValueError(f"two plug-ins have one name, {sorted(functions)}; give each its own")
        if (self.spectral.balanced and "spectral" in self.weights) and (
            not {"directional", "moment"} & set(self.weights) or self.selection is not None
        ):
            raise ValueError(
                "spectral.balanced=True weighs the term 'spectral' against 'directional' or 'moment', with "
                f"all layers trained; got terms={self.weights} and selection={self.selection}"
            )
        paired = self.difa is not None or "local" in self.weights
        check_row(self.speed, self.few_shot is not None, self.selection is not None, paired)
        if self.optimiser.stop_at_plateau and not {"directional", "moment"} & set(self.weights):
            raise ValueError(
                "optimiser.stop_at_plateau=True needs the term 'directional' or 'moment', which measure how "
                f"far images follow the text, got {self.weights}; give a number of iterations instead"
            )
        check_texts(self.source_text, self.target_text)
        for template in self.templates:
            if self.templates != ("imagenet",) and "{}" not in template:
                raise ValueError(f"templates: {template!r} has no {{}} where the text goes; add it")
        smallest = {"relation": 2 if self.relation.diagonal else 3, "in_domain_angle": 2}
        for term, n in smallest.items():
            if self.weights.get(term) and self.optimiser.batch_size < n:
                raise ValueError(
                    f"optimiser.batch_size={self.optimiser.batch_size} is too small for the term {term!r}, "
                    f"which needs {n} images"
                )
        return self

    @property
    def prompts(self) -> tuple[str, ...]:
        """Prompt templates for CLIP."""
        return imagenet_templates() if self.templates == ("imagenet",) else self.templates

    @property
    def trainable(self) -> Trained:
        """Which parameters may change: ``trained``, or all that layer selection chooses from."""
        return self.trained if self.selection is None else "convolutions_and_torgb"

    @property
    def weights(self) -> dict[str, float]:
        """The terms with a weight other than zero."""
        weights = {
            term: value["weight"] if isinstance(value, Mapping) else value
            for term, value in self.terms.items()
        }
        return {term: weight for term, weight in weights.items() if weight}

    @property
    def plugs(self) -> tuple[str, ...]:
        """The names of all plug-ins: terms, guide and trainer."""
        others = (self.guide, self.trainer)
        return (*filter(is_plugged, self.weights), *(name for name in others if name is not None))

    def settings_of(self, term: str) -> dict[str, Any]:
        """The settings of a plugged-in term, without its weight."""
        value = self.terms[term]
        return {k: v for k, v in value.items() if k != "weight"} if isinstance(value, Mapping) else {}


def override(config: AdaptConfig, *changes: Mapping[str, Any]) -> AdaptConfig:
    """``config`` with some settings replaced.

    Args:
        config: the configuration to start from; it is not changed.
        *changes: setting, dotted name or group -> new value, see :func:`zsgan.base.settings.merge`.

    Returns:
        a checked configuration.

    Raises:
        ValueError: a setting is unknown, or its value cannot be read or cannot work.
    """
    return build(AdaptConfig, merge(asdict(config), *changes))
