"""The demo's CLIP: a small open_clip model, with open_clip's tokenizer reduced to the demo world's tokens."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path

import open_clip
import regex
import torch
from open_clip.transform import PreprocessCfg
from torch import Tensor

from zsgan.assets import manifest
from zsgan.base.streams import seeded
from zsgan.base.tensors import load_tensors
from zsgan.base.unfilled import Unfilled
from zsgan.menagerie.captions import VOCABULARY
from zsgan.networks.clip import ClipEncoder

NAME = "menagerie-clip"
"""Name of the architecture in open_clip's registry (there with the full vocabulary)."""

open_clip.add_model_config(Path(__file__).with_name(f"{NAME}.json"))


class CompactTokenizer:
    """open_clip's byte-pair tokenizer, with ids renumbered to the tokens in use.

    The embedding thus has no rows that training never reaches. The order of the ids is kept: the end of a
    text still has the largest id, by which open_clip finds it, and padding is still 0.

    Args:
        token_ids: open_clip's ids of the tokens in use (see :func:`used_token_ids`).
        context_length: tokens per text, including start and end.
    """

    def __init__(self, token_ids: Iterable[int], context_length: int) -> None:
        self.token_ids = sorted(token_ids)
        self.context_length = context_length
        self.bpe = _tokenizer(context_length)
        self._compact = torch.full((self.bpe.vocab_size,), -1)
        self._compact[self.token_ids] = torch.arange(len(self.token_ids))

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Token ids of texts, padded with 0 and truncated as in open_clip.

        Args:
            texts: one text, or n.
            context_length: tokens per text; the model's by default.

        Returns:
            (n, context_length) ids in the reduced vocabulary, long.

        Raises:
            ValueError: a text has a word outside the demo CLIP's vocabulary.
        """
        texts = [texts] if isinstance(texts, str) else list(texts)
        ids = self._compact[self.bpe(texts, context_length)]
        for text, row in zip(texts, ids, strict=True):
            if (row < 0).any():
                words = regex.findall(self.bpe.pat, self.bpe.clean_fn(text))
                unknown = ", ".join(word for word in words if not self._knows(word))
                raise ValueError(
                    f"text={text!r} has words that the demo's CLIP was never trained on: {unknown}. "
                    f"It knows {', '.join(self.known_words())}. Use those, or a CLIP with a full vocabulary."
                )
        return ids

    def known_words(self) -> list[str]:
        """Words of captions that this tokenizer can encode, sorted."""
        return [word for word in VOCABULARY if word.isalpha() and self._knows(word)]

    def _knows(self, word: str) -> bool:
        return bool((self._compact[self.bpe.encode(word)] >= 0).all())


@cache
def _tokenizer(context_length: int) -> open_clip.SimpleTokenizer:
    """open_clip's tokenizer, made once: it reads its whole vocabulary from a compressed file."""
    return open_clip.SimpleTokenizer(context_length=context_length)


def used_token_ids(words: Iterable[str]) -> list[int]:
    """Ids of open_clip's tokenizer that texts made of ``words`` need, ascending.

    Texts are split into words and punctuation marks before byte pairs are merged, so a word has the same
    tokens alone as in any text. The ids always include padding (0), start and end.
    """
    bpe = open_clip.SimpleTokenizer()
    return sorted({0, bpe.sot_token_id, bpe.eot_token_id}.union(*(bpe.encode(word) for word in words)))


def build(token_ids: Sequence[int], generator: torch.Generator) -> tuple[open_clip.CLIP, CompactTokenizer]:
    """A demo CLIP with random weights, and its tokenizer.

    Args:
        token_ids: open_clip's ids of the tokens in use.
        generator: the source of randomness for the weights.

    Returns:
        the model on the CPU in float32, and the tokenizer of its vocabulary.
    """
    config = open_clip.get_model_config(NAME)
    config["text_cfg"]["vocab_size"] = len(token_ids)
    seed = int(torch.randint(2**31, (), generator=generator))
    with seeded(seed):
        model = open_clip.CLIP(**config)
    preprocessing = PreprocessCfg(size=config["vision_cfg"]["image_size"])
    open_clip.model.set_model_preprocess_cfg(model, asdict(preprocessing))
    return model, CompactTokenizer(token_ids, config["text_cfg"]["context_length"])


def load(name: str) -> ClipEncoder:
    """The trained CLIP of a name in the manifest, such as "clip-a", on the CPU in float32."""
    tensors, config, _ = load_tensors(manifest.path(name))
    with Unfilled():
        model, tokenizer = build(config["token_ids"], torch.Generator())
    model.load_state_dict(tensors)
    return ClipEncoder(model, tokenizer, name)
