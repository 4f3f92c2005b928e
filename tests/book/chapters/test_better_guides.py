from dataclasses import replace

import torch

from zsgan import load_profile
from zsgan.book.chapters.guides import against_truth, trained
from zsgan.networks.load import load_generator


def test_a_loss_is_followed_the_source_stays_and_the_same_seed_gives_the_same():
    smoke = replace(load_profile("smoke"), samples=12)
    name, scenario = next(iter(smoke.scenarios.items()))
    config = smoke.config(name, next(iter(smoke.rows)))
    dogs = load_generator(scenario.generator)
    before, seen, threads = dogs.synthesis.const.clone(), [], torch.get_num_threads()

    def darker(z, before, after):
        loss = after.mean()
        seen.append(loss.item())
        return loss

    one, two = (trained(dogs, darker, config, steps=3, seed=1) for _ in range(2))
    assert seen[2] < seen[0] and seen[:3] == seen[3:]
    assert torch.equal(dogs.synthesis.const, before)
    assert torch.equal(one.synthesis.const, two.synthesis.const)
    assert not torch.equal(one.synthesis.const, before)
    assert not any(p.requires_grad for p in one.parameters())
    assert torch.get_num_threads() == threads
    table = against_truth({"dogs": [dogs], "dark": [one, two]}, smoke, name)
    assert table.index.tolist() == ["dogs", "dark", "dark"]
    assert table.columns.tolist() == ["target rate", "fid", "precision", "recall"]
    assert table.iloc[1].equals(table.iloc[2])
