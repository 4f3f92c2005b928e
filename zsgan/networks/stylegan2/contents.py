"""Find the network in a checkpoint by the names of its tensors, at any place in the file."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from zsgan.assets.pickles import Object
from zsgan.assets.torchfiles import MAX_NAME, Stored
from zsgan.networks.stylegan2 import nvidia
from zsgan.networks.stylegan2.descriptions import described
from zsgan.networks.stylegan2.layouts import from_basicsr

log = logging.getLogger(__name__)

DEPTH, ENTRIES = 4, 200_000  # maximum depth of groups, and total number of keys, that are searched

Groups = list[tuple[tuple[str, ...], dict[Any, Any] | Object]]


@dataclass(frozen=True)
class _Signs:
    """Names that identify a network of a layout.

    Attributes:
        anchor: name of a tensor that every such network has, and no other.
        heads: first parts of the names of its tensors, which may be in several groups.
    """

    anchor: str
    heads: tuple[str, ...]


_SIGNS = {
    "Generator": {
        "ada": _Signs("synthesis.b4.const", ("mapping", "synthesis")),
        "rosinality": _Signs(
            "input.input", ("style", "input", "conv1", "convs", "to_rgb1", "to_rgbs", "noises")
        ),
        "basicsr": _Signs(
            "style_conv1.modulated_conv.weight",
            ("style_mlp", "constant_input", "style_conv1", "style_convs", "to_rgb1", "to_rgbs", "noises"),
        ),
    },
    "Discriminator": {"ada": _Signs("b4.out.weight", ()), "rosinality": _Signs("final_conv.0.weight", ())},
}
_AVERAGED = re.compile(r"ema|.*_ema|ema_.*|.*_avg|g_running|gs", re.IGNORECASE)
_TRAINED = {"Generator": ("g", "netg", "params"), "Discriminator": ("d", "netd")}
# torch.nn.DataParallel and torch.compile add these to names.
_WRAPPERS = re.compile(r"(?<![^.])(module|_orig_mod)\.")


@dataclass(frozen=True)
class Part:
    """A network's part of a file.

    Attributes:
        layout: "ada" or "rosinality".
        tensors: tensors by their names in that implementation.
        latent_avg: the mean w that the file keeps beside the network, if there is one.
        arguments: arguments of the network's constructor; None if the file lacks them.
    """

    layout: str
    tensors: dict[str, Stored | Tensor]
    latent_avg: Stored | Tensor | None
    arguments: dict[str, Any] | None


@dataclass(frozen=True)
class _Candidate:
    layout: str
    group: tuple[str, ...]  # keys that lead to the group with the anchor
    prefix: str  # prefix of the names of its tensors
    module: Object | None = None


def find(contents: Any, kind: str, name: object) -> Part:
    """The network in a file; of several generators, the averaged one.

    Args:
        contents: content of the file.
        kind: "Generator" or "Discriminator".
        name: name of the file in a warning.

    Returns:
        the network's part.

    Raises:
        ValueError: there is no such network, there are several, or it contains unknown objects. The message
            describes the file's content.
    """
    groups = list(_groups(contents))
    candidates = [candidate for path, group in groups for candidate in _candidates(path, group, kind)]
    ranks = [_rank(candidate, kind) for candidate in candidates]
    least = min(ranks, default=1)
    if kind == "Generator" and least:
        _refuse_lost_average(contents)
    best = [candidate for candidate, rank in zip(candidates, ranks, strict=True) if rank == least]
    if not best and isinstance(contents, Object):
        raise ValueError(f"{contents.refusal}. {described(contents)}")
    if not best:
        raise ValueError(f"no {kind.lower()} of StyleGAN2 is in it. {described(contents)}")
    if len(best) > 1:
        places = ", ".join(repr(one.prefix[:60].rstrip(".") or "(outermost)") for one in best[:5])
        raise ValueError(f"there are {len(best)} {kind.lower()}s in it, {places}: save one of them alone")
    chosen = best[0]
    if least == 2:
        log.warning(
            "%s: the generator is %r, since there is no averaged one such as 'G_ema' or 'g_ema': its images "
            "are those of the last training step", name, chosen.prefix.rstrip("."),
        )  # fmt: skip
    if chosen.module is not None:
        return _of_module(chosen.module, kind)
    tensors, mean = _tensors(groups, chosen, kind), _latent_avg(groups, chosen.prefix)
    if chosen.layout == "basicsr":
        return Part("rosinality", {from_basicsr(name): one for name, one in tensors.items()}, mean, None)
    return Part(chosen.layout, tensors, mean, None)


def loaded(tensor: Stored | Tensor) -> Tensor:
    """A tensor of a part, read from the file; a ValueError if it is damaged or complex."""
    found = tensor if isinstance(tensor, Tensor) else tensor.tensor()
    if found.is_complex():
        raise ValueError("some of its numbers are complex")
    return found


def _groups(contents: Any) -> Iterator[tuple[tuple[str, ...], dict[Any, Any] | Object]]:
    """Dictionaries and objects in a file, with the keys that lead to them, breadth first."""
    queue: list[tuple[tuple[str, ...], Any]] = [((), contents)]
    seen = 0
    for path, group in queue:  # the queue grows in the loop
        n = len(group) if isinstance(group, dict) else isinstance(group, Object)
        if n == 0 or seen + n > ENTRIES:
            continue
        seen += n
        yield path, group
        if isinstance(group, dict) and len(path) < DEPTH:
            queue += [
                ((*path, str(key)), value)
                for key, value in group.items()
                if isinstance(value, (dict, Object)) and _is_name(key)
            ]


def _is_name(key: object) -> bool:
    """Whether a key can be a part of a tensor's name. Long keys, used often, would take for ever."""
    return isinstance(key, int) or (isinstance(key, str) and len(key) <= MAX_NAME)


def _name(path: tuple[str, ...], key: object) -> str:
    """The name of a tensor in a group, without the additions of wrappers."""
    return _WRAPPERS.sub("", ".".join((*path, str(key))))


def _candidates(path: tuple[str, ...], group: dict[Any, Any] | Object, kind: str) -> Iterator[_Candidate]:
    if isinstance(group, Object):
        if nvidia.class_of(group) == kind:
            yield _Candidate("ada", path, "".join(f"{part}." for part in path), group)
        return
    for name in (_name(path, key) for key in group if _is_name(key)):
        for layout, signs in _SIGNS[kind].items():
            if f".{name}".endswith(f".{signs.anchor}"):
                yield _Candidate(layout, path, name.removesuffix(signs.anchor))


def _rank(candidate: _Candidate, kind: str) -> int:
    """0 for an averaged generator, 2 for a generator in training, 1 if its name does not say."""
    parts = candidate.prefix.rstrip(".").split(".")
    if kind == "Discriminator":
        return int(not any(part.lower() in _TRAINED[kind] for part in parts))
    if any(_AVERAGED.fullmatch(part) for part in parts):
        return 0
    return 2 if any(part.lower() in _TRAINED[kind] for part in parts) else 1


def _refuse_lost_average(contents: Any) -> None:
    """Refuse a file whose averaged generator is unreadable, rather than take another generator."""
    for key, value in contents.items() if isinstance(contents, dict) else ():
        if not (isinstance(key, str) and len(key) <= MAX_NAME and _AVERAGED.fullmatch(key)):
            continue
        if isinstance(value, Object):
            name = nvidia.class_of(value)
            why = f"{key!r} is a {name[:80]!r}, no Generator" if name else value.refusal
            raise ValueError(f"{why}. {described(contents)}")
        if isinstance(value, dict) and any(isinstance(one, (Stored, Tensor)) for one in value.values()):
            raise ValueError(f"{key!r} is no generator of StyleGAN2. {described(contents)}")


def _of_module(module: Object, kind: str) -> Part:
    tensors = nvidia.tensors(module)
    if _SIGNS[kind]["ada"].anchor not in tensors:
        raise ValueError(f"no {kind.lower()} of StyleGAN2 is in it. {described(tensors)}")
    return Part("ada", dict(tensors), None, nvidia.arguments(module, kind))


def _tensors(groups: Groups, chosen: _Candidate, kind: str) -> dict[str, Stored | Tensor]:
    found: dict[str, Stored | Tensor] = {}
    for path, group in groups:
        for key, value in group.items() if isinstance(group, dict) else ():
            if not _is_name(key):
                continue
            name = _name(path, key)
            if not name.startswith(chosen.prefix):
                continue
            name = name.removeprefix(chosen.prefix)
            belongs = name.split(".")[0] in _SIGNS[kind][chosen.layout].heads
            if isinstance(value, Object) and (belongs or kind == "Discriminator"):
                raise ValueError(f"{name[:80]!r}: {value.refusal}")
            beside = path == chosen.group and name != "latent_avg"
            if isinstance(value, (Stored, Tensor)) and (belongs or beside):
                if name in found:
                    raise ValueError(f"there are two tensors {name!r} in it: save one generator alone")
                found[name] = value
    return found


def _latent_avg(groups: Groups, prefix: str) -> Any:
    """The mean w in the generator's group, or in the nearest group around it."""
    kept = {
        _name(path, key): value
        for path, group in groups
        if isinstance(group, dict)
        for key, value in group.items()
        if value is not None and _is_name(key) and str(key).endswith("latent_avg")
    }
    parts = prefix.split(".")[:-1]
    around = [".".join([*parts[:i], "latent_avg"]) for i in range(len(parts), -1, -1)]
    found = next((kept[name] for name in around if name in kept), None)
    if isinstance(found, Object):
        raise ValueError(f"'latent_avg': {found.refusal}")
    if not isinstance(found, (Stored, Tensor, type(None))):
        raise ValueError(f"'latent_avg' must be a tensor, got a {type(found).__name__}")
    return found
