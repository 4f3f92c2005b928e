"""A scenario: one source and one target domain."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from zsgan.assets import names
from zsgan.base.settings import CHECKED, Domain, Text, build, check_texts, number
from zsgan.menagerie.factors import index_of

Resolution = Annotated[Literal[8, 16, 32, 64, 128, 256, 512, 1024], BeforeValidator(number)]


@dataclass(frozen=True, config=CHECKED)
class Scenario:
    """One source and one target domain.

    Attributes:
        generator: the source generator.
        source_text: the source domain in words.
        target_text: the target domain in words.
        truth: the true target domain: factors that its drawings share (demo world), such as
            {"species": "cat"}, or {"folder": path} of images; {} if there are no images of it.
        resolution: pixels a side of the generator; needed for random weights.
        discriminator: the source's discriminator, for rows that adapt to images: a name or a file;
            by default the one that came with the generator, see :func:`zsgan.assets.names.discriminator`.
    """

    generator: Text
    source_text: Text
    target_text: Text
    truth: Domain = Field(default_factory=dict)
    resolution: Resolution | None = None
    discriminator: Text | None = None

    @model_validator(mode="after")
    def _known(self) -> "Scenario":
        check_texts(self.source_text, self.target_text)
        source = names.generator(self.generator)
        if self.discriminator is not None:
            names.discriminator(self.discriminator, source)
        if set(self.truth) == {"folder"}:
            if not Path(self.truth["folder"]).is_dir():
                raise ValueError(
                    f"truth: there is no folder {self.truth['folder']}; name one with target images"
                )
            return self
        for kind, name in self.truth.items():
            if kind not in ("species", "style"):
                raise ValueError(f"truth has {kind!r}; it takes species and style, or folder alone")
            index_of(kind, name)
        return self

    def random(self) -> "Scenario":
        """The scenario with random networks, at the resolution in its generator's name or at its own."""
        size = names.generator(self.generator).resolution or self.resolution
        if size is None:
            raise ValueError("weights=random needs the scenario's resolution; add it")
        changes = {"generator": f"random-{size}", "resolution": size, "discriminator": None}
        return build(Scenario, {**vars(self), **changes})
