"""CLIP as the paper uses it: frozen encoders E_I and E_T, over open_clip."""

import logging
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from zsgan.assets.torchfiles import read_script
from zsgan.base.precision import at_least_float32
from zsgan.base.resize import resize
from zsgan.base.streams import seeded


class ClipEncoder(nn.Module):
    """Frozen CLIP, E_I and E_T: maps images and texts to features, of unit norm by default.

    Args:
        model: an open_clip model; it is frozen and put into evaluation mode, and the batch normalisations of
            its ResNet, if it has one, are folded into its convolutions.
        tokenizer: its tokenizer, as from open_clip.
        name: name of the model in results.

    Attributes:
        name: as given.
        dim: D, the number of features.
        network: prepared images (N, 3, S, S) -> raw features (N, D).
        image_size: height and width that images are resized to.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: Any, tokenizer: Callable[..., Tensor], name: str) -> None:
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        _fold_normalisation(model.visual)
        _put_sequence_first(model.visual)
        self.tokenizer = tokenizer
        self.name = name
        self.network: Callable[[Tensor], Tensor] = self.model.encode_image
        size = model.visual.image_size
        self.image_size: int = size if isinstance(size, int) else size[0]
        for key in ("mean", "std"):
            value = model.logit_scale.new_tensor(model.visual.preprocess_cfg[key])
            self.register_buffer(key, value.view(1, 3, 1, 1))
        self.dim: int = self._text_features([""]).shape[1]

    def train(self, mode: bool = True) -> "ClipEncoder":
        """Stay in evaluation mode for any ``mode``, since the encoder is frozen."""
        return super().train(False)

    def encode_images(self, images: Tensor, normalise: bool = True, antialias: bool = True) -> Tensor:
        """E_I: features of images; gradients flow to the images.

        Args:
            images: (N, 3, H, H) in [-1, 1], of any resolution; values outside are not clamped.
            normalise: scale the features to unit norm; otherwise return the raw output of the model.
            antialias: low-pass filter images that are larger than the model's, as in its training.

        Returns:
            (N, D), in float32 at least, also inside ``torch.autocast``, which the network alone follows.

        Raises:
            ValueError: the images are not square, do not have three channels, or are integers.
        """
        if not images.is_floating_point():
            raise ValueError(
                f"images must be floating point in [-1, 1], got {images.dtype}; convert bytes with "
                "images / 127.5 - 1"
            )
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise ValueError(f"images must be (N, 3, H, H), got {tuple(images.shape)}; crop or pad them")
        with torch.autocast(images.device.type, enabled=False):
            x = (images.to(self.mean.dtype) + 1) / 2
            if x.shape[-1] != self.image_size:
                x = resize(x, self.image_size, "bicubic", antialias)
            x = (x - self.mean) / self.std
        features = at_least_float32(self.network(x))
        return F.normalize(features, dim=-1) if normalise else features

    def encode_texts(
        self, texts: Sequence[str], templates: Sequence[str] | None = None, normalise: bool = True
    ) -> Tensor:
        """E_T: features of texts, averaged over prompts.

        Args:
            texts: n texts.
            templates: prompts with ``{}`` where the text goes, such as :func:`imagenet_templates`; ``None``
                encodes the texts as they are.
            normalise: average the unit-norm features of a text's prompts, and scale the average to unit norm;
                otherwise average the raw output of the model.

        Returns:
            (n, D).

        Raises:
            ValueError: a text is blank or longer than the model's context, or a template has no ``{}``.
        """
        if isinstance(texts, str):
            raise ValueError(
                f"texts must be a sequence of strings, got the string {texts!r}; put it in a list"
            )
        templates = ("{}",) if templates is None else templates
        if not texts or not templates:
            raise ValueError(f"texts and templates must not be empty, got {texts!r} and {templates!r}")
        if blank := [text for text in texts if not text.strip()]:
            raise ValueError(f"texts must say something, got {blank[0]!r}; leave it out or name the domain")
        for template in templates:
            if "{}" not in template:
                raise ValueError(f"template {template!r} must have a {{}} where the text goes; add it")
        prompts = [template.replace("{}", text) for text in texts for template in templates]
        features = self._text_features(prompts).view(len(texts), len(templates), -1)
        return F.normalize(F.normalize(features, dim=-1).mean(1), dim=-1) if normalise else features.mean(1)

    def fits(self, texts: Sequence[str]) -> Tensor:
        """Whether each of n texts fits into the model's context: (n,), bool."""
        return self._tokens(texts)[1]

    @torch.no_grad()
    def _text_features(self, texts: Sequence[str]) -> Tensor:
        """Features (n, D) of n texts, not normalised."""
        tokens, fits = self._tokens(texts)
        if not fits.all():
            text, length = texts[int(fits.int().argmin())], self.model.context_length
            raise ValueError(
                f"text={text!r} is longer than the {length} tokens (start and end included) that {self.name} "
                "reads; shorten it"
            )
        with torch.autocast(self.mean.device.type, enabled=False):
            return at_least_float32(self.model.encode_text(tokens))

    def _tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        length = self.model.context_length
        # Tokenizers truncate silently; with one more token than the model's, a fitting text ends in padding.
        tokens = self.tokenizer([*texts, ""], length + 1)
        return tokens[:-1, :length].to(self.mean.device), tokens[:-1, -1] == tokens[-1, -1]


@cache
def imagenet_templates() -> tuple[str, ...]:
    """The 79 prompts of StyleGAN-NADA (Gal et al. 2022): CLIP's 80 for ImageNet but "a photo of many {}"."""
    return tuple(Path(__file__).with_name("templates.txt").read_text(encoding="utf-8").splitlines())


def open_clip_encoder(
    architecture: str, pretrained: str | None, device: torch.device | str = "cpu", file: Path | None = None
) -> ClipEncoder:
    """Load a CLIP from open_clip.

    Args:
        architecture: an architecture of open_clip, such as "ViT-B-32"; open_clip also resolves "hf-hub:..."
            and "local-dir:...".
        pretrained: name of open_clip's weights for it, such as "openai"; without a name and a file, the
            weights are random, with seed 0.
        device: device of the encoder.
        file: weights to use in place of open_clip's download: any file that open_clip reads, or OpenAI's own
            .pt, without executing its code. OpenAI's weights in another format than its own need their name
            ("openai") or an architecture such as "ViT-B-32-quickgelu", since such a file does not say which
            GELU it was trained with.

    Returns:
        the encoder, in float32.

    Raises:
        ValueError: open_clip has no such architecture, or the file does not hold its weights.
    """
    import open_clip  # imported here, since it is as slow as torch and sampling needs no CLIP

    if ":" not in architecture and architecture not in open_clip.list_models():
        close = get_close_matches(architecture, open_clip.list_models(), cutoff=0.3) or ["ViT-B-32"]
        raise ValueError(
            f"name={architecture!r} is not a CLIP of open_clip or the demo; similar names: {', '.join(close)}"
        )
    settings = open_clip.get_pretrained_cfg(architecture, pretrained) if pretrained else {}
    script = file is not None and _is_script(file)
    tensors = _tensors(file) if file is not None else None
    with _weights_of(file, architecture), seeded(0):
        model = open_clip.create_model(
            architecture, pretrained=pretrained if file is None else None if tensors else str(file),
            precision="fp32", device=device, force_preprocess_cfg=settings,
            # Weights may need another GELU than the architecture's name implies; open_clip only warns.
            force_quick_gelu=script or settings.get("quick_gelu", False),
        )  # fmt: skip
        if tensors:
            model.load_state_dict(tensors)
        tokenizer = open_clip.get_tokenizer(architecture)
    return ClipEncoder(model, tokenizer, architecture)


def encode_pair(
    encoder: ClipEncoder,
    source_text: str,
    target_text: str,
    templates: Sequence[str] | None = None,
    normalise: bool = True,
) -> Tensor:
    """Features of a source and a target text.

    Args:
        encoder: E_T.
        source_text: t_src.
        target_text: t_trg.
        templates: of both.
        normalise: to unit norm.

    Returns:
        (2, D).

    Raises:
        ValueError: the texts are the same to the encoder, or cannot be encoded.
    """
    features = encoder.encode_texts([source_text, target_text], templates, normalise=normalise)
    if torch.equal(features[0], features[1]):
        raise ValueError(
            f"source_text={source_text!r} and target_text={target_text!r} are the same to {encoder.name}: "
            "there is no direction to follow; name another target"
        )
    return features


@contextmanager
def _weights_of(file: Path | None, architecture: str) -> Iterator[None]:
    """Name the file in errors; suppress open_clip's messages and its warning of random weights."""
    root, told = logging.getLogger(), "randomly"
    root.addFilter(
        known := lambda record: record.levelno >= logging.WARNING and told not in record.getMessage()
    )
    try:
        yield
    except Exception as error:  # any error of a damaged or foreign file
        if file is None:
            raise
        raise ValueError(f"{file} does not hold the weights of {architecture}: {error}") from error
    finally:
        root.removeFilter(known)


def _fold_normalisation(visual: nn.Module) -> None:
    """Fold the frozen batch normalisations of open_clip's ResNet into its convolutions: equal to rounding.

    A network with convolutions alone is fastest with channels last; a transformer is left as it is.
    """
    pairs = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"), ("0", "1")]  # "0" and "1": of a shortcut
    for module in visual.modules():
        layers = dict(module.named_children())
        for convolution, norm in pairs:
            first, second = layers.get(convolution), layers.get(norm)
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                fused = fuse_conv_bn_eval(first, second)
                setattr(module, convolution, fused.to(memory_format=torch.channels_last))
                setattr(module, norm, nn.Identity())


def _put_sequence_first(visual: nn.Module) -> None:
    """Let open_clip's transformer attend to (L, N, D): of (N, L, D), a CPU computes L small products."""
    from open_clip.transformer import Transformer  # late, as open_clip itself

    if isinstance(transformer := getattr(visual, "transformer", None), Transformer):
        for module in transformer.modules():
            if isinstance(module, (Transformer, nn.MultiheadAttention)):
                module.batch_first = False


def _is_script(file: Path) -> bool:
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _tensors(file: Path) -> dict[str, Tensor] | None:
    """Weights in open_clip's names of a file that open_clip itself would not recognise; else ``None``.

    It goes by the ending of the name, whereas an asset has one name for all formats that it may arrive in.
    """
    if _is_script(file):
        return _script_tensors(file)
    with file.open("rb") as stream:
        start = stream.read(9)
    if file.suffix != ".safetensors" and start[8:] == b"{":  # after the length of the header
        return load_file(file)
    return None


def _script_tensors(file: Path) -> dict[str, Tensor]:
    """OpenAI's weights, which have open_clip's names, without the three numbers beside them."""
    with file.open("rb") as stream:
        stored = read_script(stream, file.stat().st_size)
        numbers = ("input_resolution", "context_length", "vocab_size")
        return {name: part.tensor().float() for name, part in stored.items() if name not in numbers}
