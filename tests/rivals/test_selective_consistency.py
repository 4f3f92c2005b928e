"""DiFa: which coordinates are kept, a step written out, and a run that is resumed."""

from pathlib import Path

import pytest
import torch

from zsgan.adaptation import selective
from zsgan.adaptation.config import override
from zsgan.adaptation.guide import make_guide
from zsgan.adaptation.selective import SelectiveAdaptation, encoder_of
from zsgan.adaptation.trainers import trainer_of
from zsgan.assets import names
from zsgan.base.loop import loop
from zsgan.networks.load import load_clip, load_generator
from zsgan.rivals.selective_consistency import kept_coordinates, ramp, selective_loss
from zsgan.runs import method_check
from zsgan.runs.identity import check, resolve
from zsgan.runs.method_check import check_on


@pytest.fixture
def config(smoke):
    """L_dir with one CLIP, six steps, and a window of two."""
    changes = {"clips": "clip-a", "difa": {"window": 2, "kept": 0.5, "weight": 3}, "optimiser.iterations": 6}
    return override(smoke.config("dog-to-cat", "L_dir"), changes)


@pytest.fixture
def brightness(monkeypatch):
    """In place of the encoder: the mean of each colour and the contrast, (N, 4)."""

    def codes(images):
        return torch.cat([images.mean((2, 3)), images.std((1, 2, 3))[:, None]], 1)

    monkeypatch.setattr(selective, "encoder_of", lambda config, g_src: codes)
    return codes


def test_the_coordinates_that_move_least_are_kept():
    shift = torch.tensor([0.3, -0.1, 0.2, -0.5, 0.0])
    assert kept_coordinates(shift, 0.6).tolist() == [0, 1, 1, 0, 1]
    assert kept_coordinates(shift, 0.59).tolist() == [0, 1, 0, 0, 1], "int(share D), as in its code"
    assert kept_coordinates(shift, 1).tolist() == [1] * 5 and kept_coordinates(shift, 0).tolist() == [0] * 5


def test_the_loss_is_over_all_entries():
    codes, kept = torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([1.0, 0.0])
    assert selective_loss(codes, torch.zeros(2, 2), kept).item() == 1


def test_the_weight_rises_once_the_window_is_full():
    assert [ramp(i, 6, 2) for i in range(6)] == [0, 0, 0, 0.25, 0.5, 0.75]
    assert ramp(5, 6, 6) == ramp(5, 6, 30) == 0, "a run shorter than the window keeps nothing"


def test_every_step_is_as_written_out(config, make_generator, brightness):
    assert trainer_of(config) is SelectiveAdaptation
    guide = make_guide(load_clip("clip-a"), config)
    adaptation = SelectiveAdaptation(config, make_generator(), [guide])
    shifts = []
    for i in range(4):
        step = adaptation.batch(i).seen[0].step
        with torch.no_grad():
            source = adaptation.g_src.synthesis(step.ws, noise="random", generator=step.noise())
            of_source, of_target = brightness(source), brightness(step.images)
        shifts.append((of_target - of_source).mean(0))
        least = (sum(shifts[-2:]) / len(shifts[-2:])).abs().argsort()[:2]
        expected = (of_target - of_source)[:, least].abs().sum() / of_target.numel()
        row = adaptation.step(i)
        assert row["selective"] == pytest.approx(expected.item(), rel=1e-4)
        weight = 3 * max(0, i - 2) / 4
        assert row["loss"] == pytest.approx(row["directional"] + weight * row["selective"], rel=1e-5)


def test_of_w_plus_the_coarsest_rows_are_read(config, make_generator, monkeypatch):
    rows = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(selective, "encoder_of", lambda config, g_src: lambda images: rows[: len(images)])
    few = override(config, {"difa.rows": 2})
    adaptation = SelectiveAdaptation(few, make_generator(), [make_guide(load_clip("clip-a"), few)])
    assert adaptation.means.shape == (2, 2, 6)
    assert torch.equal(adaptation._codes(torch.zeros(4, 3, 16, 16)), rows[:, :2].flatten(1))


def test_it_passes_the_check_of_methods(config, make_generator, brightness, monkeypatch):
    compared = []

    def seconds(own, plain, device):
        compared.append(plain.config)
        return 1.0, 1.0

    monkeypatch.setattr(method_check, "_seconds", seconds)
    assert check_on(config, make_generator(), [load_clip("clip-a")]).seconds == 1
    assert config.difa is not None and compared[0].difa is None, "the cost is compared with L_dir's"


def test_a_stopped_run_resumes_to_the_same_bits(config, make_generator, brightness, tmp_path):
    """With the means of the steps before, without which the fourth step keeps other coordinates."""
    guide = make_guide(load_clip("clip-a"), config)

    def adapt(folder, stop=None):
        adaptation = SelectiveAdaptation(config, make_generator(), [guide])

        def step(i):
            if i == stop:
                raise KeyboardInterrupt
            return adaptation.step(i)

        rows = loop(adaptation.state, step, 6, folder, save_every=1, progress=False)
        return rows, adaptation.result.state_dict()

    rows, weights = adapt(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        adapt(tmp_path / "stopped", 3)
    again, others = adapt(tmp_path / "stopped")
    assert [row["selective"] for row in again] == [row["selective"] for row in rows]
    assert all(torch.equal(value, weights[name]) for name, value in others.items())


@pytest.mark.parametrize("species", ["dog", "cat"])
def test_the_demos_encoders_read_their_generators(config, species):
    generator = load_generator(species)
    w = generator.mapping(
        torch.randn(64, generator.mapping.z_dim, generator=torch.Generator().manual_seed(0))
    )
    with torch.no_grad():
        read = encoder_of(override(config, {"generator": species}), generator)(generator.synthesis(w))
    w = w[:, 0]
    assert 1 - (read - w).square().sum() / (w - w.mean(0)).square().sum() > 0.8


def test_the_encoder_is_part_of_a_runs_identity(config, tmp_path):
    job, other = resolve(config), resolve(override(config, {"difa.encoder": "encoder-cat"}))
    assert job.id != other.id and job.content["encoder"] == job.weights["encoder-dog"]
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(names.encoder(None, names.generator("dog")).path.read_bytes())
    assert resolve(override(config, {"difa.encoder": str(copy)})).id == job.id, "by content, not by name"
    assert "encoder" not in resolve(override(config, {"difa": None})).content


def test_a_generator_without_an_encoder_is_refused(config):
    with pytest.raises(
        ValueError, match="generator='random-64' comes without an encoder; name one: difa.enc"
    ):
        resolve(override(config, {"generator": "random-64"}))
    with pytest.raises(
        ValueError, match="encoder='wolf' is neither a file nor one of encoder-cat, encoder-dog"
    ):
        resolve(override(config, {"difa.encoder": "wolf"}))


def test_an_encoder_of_another_generator_is_refused(config, make_generator, tmp_path):
    with pytest.raises(
        ValueError, match="'encoder-cat' is no encoder of generator 'generator-dog': enc.* mean w"
    ):
        check([override(config, {"difa.encoder": "encoder-cat"})])
    with pytest.raises(
        ValueError, match="encoder-dog is for another generator: .*; name the one that was train"
    ):
        encoder_of(config, make_generator())
    clip = names.clip("clip-a").path
    with pytest.raises(ValueError, match="difa.encoder=.*clip_a.safetensors' is no encoder of generator"):
        encoder_of(override(config, {"difa.encoder": str(clip)}), load_generator("dog"))
    file = Path(tmp_path / "psp.pt")
    file.write_bytes(b"no encoder")
    with pytest.raises(ValueError, match="does not hold an encoder of pSp or e4e"):
        encoder_of(override(config, {"difa.encoder": str(file)}), load_generator("dog"))


def test_two_training_loops_are_refused(config):
    with pytest.raises(
        ValueError, match=r"air=Air\(.*\) and difa=Difa\(.*\) are training loops of their own; take"
    ):
        override(config, {"air": {}})


def test_rounded_images_of_one_generator_are_refused(config):
    with pytest.raises(ValueError, match="speed.autocast='bfloat16' rounds the target's images alone"):
        override(config, {"speed.autocast": "bfloat16"})
