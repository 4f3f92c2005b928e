"""What is wrong with a method is said by its check, before any run of it is made."""

import pytest

from zsgan.adaptation.config import AdaptConfig, build
from zsgan.adaptation.guide import make_guide
from zsgan.adaptation.plugged import rows_of
from zsgan.runs.method_check import check_steps

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
        guides = [make_guide(make_encoder(seed=seed), config) for seed in range(2)]
        return check_steps(config, make_generator(), guides)

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
