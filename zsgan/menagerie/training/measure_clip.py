"""Quality of a CLIP on the demo world: zero-shot accuracy, retrieval, directions; clean and attacked."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.menagerie import factors as world
from zsgan.menagerie.captions import captions
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import Factors, sample_factors, with_species
from zsgan.menagerie.species import SPECIES
from zsgan.menagerie.training.attack import attack
from zsgan.menagerie.training.augment import blur
from zsgan.networks.clip import ClipEncoder

QUESTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "style": ("{value} of a {animal}", world.STYLES),
    "fur": ("a {value} {animal}", world.FURS),
    "pattern": ("a {value} {animal}", world.PATTERNS[1:]),  # without "plain", which no caption says
    "eyes": ("a {animal} with {value} eyes", world.EYES),
    "ears": ("a {animal} with {value} ears", world.EARS),
}
"""Factor -> prompt and the values to choose from, with the species given."""

CHUNK = 100


@torch.no_grad()
def measure(
    encoder: ClipEncoder, generator: torch.Generator, *, epsilon: float, n: int = 1000
) -> dict[str, float]:
    """Measure a CLIP on ``n`` fresh portraits of every species and style.

    Args:
        encoder: the CLIP.
        generator: the source of randomness.
        epsilon: radius of the attack's L2 ball, for images in [-1, 1].
        n: number of portraits.

    Returns:
        name -> value. Zero-shot accuracies, of the species among "a photo of a {species}", in every style,
        and of the other factors with the species given (:data:`QUESTIONS`); on clean images, blurred ones
        (sigma 1 px), noisy ones (standard deviation 0.2), and ones attacked in 10 steps against the prompts
        of the species. Recall at 1 of the caption among 128. Cosine of the text direction dog -> cat with the
        direction between the mean image features, and its mean over dogs redrawn as cats; length of the text
        direction.
    """
    factors = sample_factors(n, generator)
    images = torch.cat([draw(factors[i : i + CHUNK]) for i in range(0, n, CHUNK)]).to(encoder.mean.device)
    species = encoder.encode_texts([f"a photo of a {animal}" for animal in SPECIES])
    variants = {
        "clean": images,
        "blurred": blur(images, 1.0),
        "noisy": images + 0.2 * torch.randn(images.shape, generator=generator).to(images),
        "attacked": _attacked(encoder, images, species, factors.species, epsilon, generator),
    }
    result = {}
    for variant, pictures in variants.items():
        features = _features(encoder, pictures)
        result[f"species, {variant}"] = _accuracy(features @ species.T, factors.species)
        for kind in QUESTIONS:
            result[f"{kind}, {variant}"] = _zero_shot(encoder, features, factors, kind)
    words = captions(factors, generator).texts
    read = encoder.fits(words).tolist()  # a few captions are longer than CLIP's context
    result["recall at 1 of 128"] = _recall(
        encoder,
        _features(encoder, images)[read],
        [word for word, fits in zip(words, read, strict=True) if fits],
    )
    result |= _directions(encoder, generator)
    return {name: round(value, 4) for name, value in result.items()}


def _features(encoder: ClipEncoder, images: Tensor) -> Tensor:
    return torch.cat([encoder.encode_images(part) for part in images.split(CHUNK)])


@torch.enable_grad()
def _attacked(
    encoder: ClipEncoder,
    images: Tensor,
    texts: Tensor,
    truth: Tensor,
    epsilon: float,
    generator: torch.Generator,
) -> Tensor:
    same = F.one_hot(truth, len(texts)).to(images)
    parts = zip(images.split(CHUNK), same.split(CHUNK), strict=True)
    against = partial(attack, encoder.encode_images, scale=50.0, epsilon=epsilon, steps=10)
    return torch.cat([against(x, texts, y, generator=generator) for x, y in parts])


def _accuracy(scores: Tensor, truth: Tensor) -> float:
    return (scores.argmax(1).cpu() == truth).float().mean().item()


def _zero_shot(encoder: ClipEncoder, features: Tensor, factors: Factors, kind: str) -> float:
    prompt, values = QUESTIONS[kind]
    truth = getattr(factors, kind) - (len(world.CATEGORIES[kind]) - len(values))
    asked = truth >= 0
    prompts = [prompt.format(value=value, animal=animal) for animal in SPECIES for value in values]
    texts = encoder.encode_texts(prompts).view(len(SPECIES), len(values), -1)
    scores = torch.einsum("nvd,nd->nv", texts[factors.species], features)
    return _accuracy(scores[asked], truth[asked])


def _recall(encoder: ClipEncoder, features: Tensor, words: list[str], among: int = 128) -> float:
    hits = []
    for start in range(0, len(words) - among + 1, among):
        candidates = words[start : start + among]
        best = (features[start : start + among] @ encoder.encode_texts(candidates).T).argmax(1).tolist()
        hits += [candidates[i] == own for i, own in zip(best, candidates, strict=True)]
    return sum(hits) / len(hits)


def _directions(encoder: ClipEncoder, generator: torch.Generator) -> dict[str, float]:
    dogs, cats = (sample_factors(2 * CHUNK, generator, kind, "photo") for kind in ("dog", "cat"))
    device = encoder.mean.device
    from_dogs, from_cats, from_answers = (
        _features(encoder, draw(f).to(device)) for f in (dogs, cats, with_species(dogs, "cat"))
    )
    source, target = encoder.encode_texts(["a photo of a dog", "a photo of a cat"])
    direction = target - source
    means = F.cosine_similarity(from_cats.mean(0) - from_dogs.mean(0), direction, dim=0)
    pairs = F.cosine_similarity(from_answers - from_dogs, direction[None])
    return {
        "cosine of text and image directions, means": means.item(),
        "cosine of text and image directions, pairs": pairs.mean().item(),
        "length of the text direction": direction.norm().item(),
    }
