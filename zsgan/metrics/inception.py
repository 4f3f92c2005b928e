"""Inception score, of any labels that a network states."""

import torch
from torch import Tensor

from zsgan.metrics.checks import check_set


def inception_score(logits: Tensor) -> float:
    """Exponential of the mutual information of image and label (Salimans et al. 2016), without splits.

    Between 1, when the network says the same of every image, and the number of values C, when it is sure of
    every image and all values are equally frequent. The labels are those of the logits, for instance the
    evaluator's coat colours: not ImageNet's, and no two networks' scores can be compared.

    Args:
        logits: (N, C) of one set of exclusive values.

    Returns:
        between 1 and C.

    Raises:
        ValueError: the shape is another.
    """
    check_set(logits)
    log_p = logits.double().log_softmax(1)
    log_mean = log_p.logsumexp(0) - torch.tensor(len(log_p), dtype=torch.float64, device=log_p.device).log()
    return float((log_p.exp() * (log_p - log_mean)).sum(1).mean().exp())
