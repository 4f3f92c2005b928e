"""Inception score, for any labels that a network predicts."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_set


def inception_score(logits: Tensor) -> float:
    """Exponential of the mutual information of image and label (Salimans et al. 2016), without splits.

    It is 1 if the prediction is the same for every image, and the number of values C if every prediction is
    certain and all values are equally frequent. The labels are those of the logits, for instance the
    evaluator's coat colours, not ImageNet's; scores of different networks are not comparable.

    Args:
        logits: (N, C) logits of exclusive values.

    Returns:
        between 1 and C.

    Raises:
        ValueError: ``logits`` is not of shape (N, C), or is empty.
    """
    check_set(logits)
    log_p = logits.double().log_softmax(1)
    log_mean = log_p.logsumexp(0) - torch.tensor(len(log_p), dtype=torch.float64, device=log_p.device).log()
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
