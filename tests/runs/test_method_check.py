"""What is wrong with a method is said by its check, before any run of it is made."""

import pytest
import torch

from zsgan.adaptation.config import AdaptConfig, build
from zsgan.adaptation.plugged import rows_of
from zsgan.runs import method_check
from zsgan.runs.method_check import check_on

START = """
import torch
import zsgan
from zsgan.adaptation.by_text import Adaptation

"""
PLACE = {
    "generator": "generator-dog", "source_text": "dog", "target_text": "cat", "clips": "toy",
    "templates": "{}", "stage1": {"iterations": 5},
}  # fmt: skip


@pytest.fixture
def check(tmp_path, make_generator, make_encoder):
    """A function that checks the method in a text, on toy networks with two guides."""

    def check(text):
        (tmp_path / "mine.py").write_text(START + text)
        ((_, row),) = rows_of(str(tmp_path / "mine.py")).items()
        config = build(AdaptConfig, PLACE | row)
        return check_on(config, make_generator(), [make_encoder(seed=seed) for seed in range(2)])

    return check


def of_term(body):
    return f"@zsgan.term()\ndef mine(seen, *, power=2):\n    {body}\n"


def of_trainer(body):
    row = "row={'terms': {'directional': 1}}"
    return f"@zsgan.trainer({row})\nclass Mine(Adaptation):\n    def step(self, i):\n        {body}\n"


def test_what_is_right_passes(check):
    found = check(of_term("return (seen.f_trg - seen.guide.t_trg).pow(power).mean()"))
    ((name, reached),) = found.reached.items()
    assert name.endswith("mine.py:mine") and 0 < reached <= found.trained
    assert found.seconds > 0 and found.plain > 0
    assert "reach" in str(found) and "times L_dir's" in str(found)
    assert check(of_trainer("return super().step(i)")).reached == {}


def test_its_cost_is_compared_with_the_directional_loss_alone(check, monkeypatch):
    """Without the guide that the method has."""
    compared = []

    def seconds(own, plain, device):
        compared.extend([own, plain])
        return 1.0, 1.0

    monkeypatch.setattr(method_check, "_seconds", seconds)
    row = "row={'terms': {'directional': 1}, 'selection': {'k': 2}}"
    text = f"from dataclasses import replace\n@zsgan.guide({row})\ndef far(guide, config):\n"
    check(text + "    return replace(guide, t_trg=3 * guide.t_trg)\n")
    own, plain = compared
    assert plain.config.guide is None and plain.config.selection is None
    torch.testing.assert_close(own.guides[0].t_trg, 3 * plain.guides[0].t_trg)


def test_random_numbers_of_the_step_are_the_same_again(check):
    text = "return (seen.f_trg @ torch.randn(12, generator=seen.step.random('probe'))).square().mean()"
    assert check(of_term(text)).trained


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            of_term("return seen.f_trg.mean(1)"),
            r"mine must return a scalar tensor, of shape \(\), got shape \(4,\)",
        ),
        (of_term("return 1.0"), "mine must return a scalar tensor, .* got a float"),
        (of_term("return seen.f_src.mean()"), "mine has no gradient: it must depend on seen.f_trg"),
        (
            of_term("return seen.f_trg.mean().log() * 0 + float('nan')"),
            "mine is nan on the first images; guard",
        ),
        (
            of_term("return (seen.f_trg.mean() * 0).sqrt()"),
            "gradient is not finite in synthesis.const; norms and",
        ),
        (of_term("return seen.f_trg.mean() * 0"), "its gradient is zero in all trained parameters"),
        (
            of_term("return (seen.f_trg @ torch.randn(12)).square().mean()"),
            "other values for the same step and seed; draw .*seen.step.random",
        ),
        (of_trainer("return {'loss': 0.0}"), "Mine changes no parameter in its first steps"),
        (
            of_trainer("self.g_trg.synthesis.blocks['4'].torgb.bias.data += 1; return super().step(i)"),
            "Mine changes synthesis.blocks.4.torgb.bias, which its property trained does not name",
        ),
        (
            of_trainer("self.params['synthesis.const'].data += torch.randn(()); return super().step(i)"),
            "Mine is not the same twice with the same seed; draw",
        ),
        (
            of_trainer(
                "self.n = getattr(self, 'n', 0) + 1; self.params['synthesis.const'].data += self.n; "
                "return super().step(i)"
            ),
            "Mine gives another result when it is resumed; its property state must",
        ),
    ],
)
def test_what_is_wrong_is_said(check, text, message):
    with pytest.raises(ValueError, match=message):
        check(text)
