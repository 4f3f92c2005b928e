import itertools

import torch

from zsgan.base.streams import stream


def draw(*arguments):
    return torch.randn(4, generator=stream(*arguments)).tolist()


def test_a_stream_depends_on_its_arguments_alone():
    first = draw(3, "latents", 7)
    draw(3, "latents", 8)
    torch.manual_seed(1)
    assert draw(3, "latents", 7) == first


def test_streams_differ_by_seed_purpose_and_step():
    draws = [
        tuple(draw(seed, purpose, step))
        for seed, purpose, step in itertools.product((0, 1, 12), ("latents", "noise"), (0, 1, 2, 11))
    ]
    assert len(set(draws)) == len(draws)


def test_global_randomness_is_left_alone():
    before = torch.get_rng_state()
    draw(0, "latents")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_runs_together_is_kept_apart():
    """Seed 1 for "2 images" is not seed 12 for " images", nor is the last digit of a purpose a step."""
    streams = [stream(1, "2 images"), stream(12, " images"), stream(0, "a", 12), stream(0, "a1", 2)]
    assert len({random.initial_seed() for random in streams}) == 4
