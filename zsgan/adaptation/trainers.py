"""Which training loop a configuration that texts guide asks for."""

from collections.abc import Callable

from zsgan.adaptation.by_text import Adaptation, Trainer
from zsgan.adaptation.config import AdaptConfig
from zsgan.adaptation.plugged import plugged
from zsgan.adaptation.refined import RefinedAdaptation
from zsgan.adaptation.selective import SelectiveAdaptation


def trainer_of(config: AdaptConfig) -> Callable[..., Trainer]:
    """The class of the trainer, which is called like :class:`zsgan.adaptation.by_text.Adaptation`.

    Args:
        config: the configuration.

    Returns:
        the class.

    Raises:
        ValueError: a plugged-in trainer does not exist.
    """
    if config.trainer is not None:
        return plugged(config.trainer).thing
    if config.air is not None:
        return RefinedAdaptation
    return Adaptation if config.difa is None else SelectiveAdaptation
