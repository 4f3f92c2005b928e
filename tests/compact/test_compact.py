"""Adaptations as small files: the best of a size, the loss that they state, and mixtures."""

import copy
import json

import pytest
import torch

from zsgan import cli
from zsgan.assets import names
from zsgan.base.tensors import save_tensors
from zsgan.compact.export import export, mix, strengths
from zsgan.compact.fit import fit, styles
from zsgan.compact.low_rank import LowRank, differences
from zsgan.compact.measured import CLUSTERS, MEASURES, judge_of, stated
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.inversion.networks import networks_for
from zsgan.metrics import PAPER, intra_cluster_lpips
from zsgan.metrics.lpips import Lpips
from zsgan.networks.differences import Differences, load_differences, whole
from zsgan.networks.load import load_generator
from zsgan.networks.sampling import Samples, sample_images
from zsgan.networks.stylegan2.checkpoints import save


@pytest.fixture
def pair(make_generator):
    """A source, and one whose convolutions, biases and styles are others; the mapping network is the same."""
    source = make_generator(seed=0)
    return source, changed(source, lambda name: name.startswith("synthesis."), 0.3)


def changed(source, which, scale):
    """A copy of a generator with noise on some of its parameters."""
    adapted = copy.deepcopy(source)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, param in adapted.named_parameters():
            if which(name):
                param += scale * torch.randn(param.shape, generator=random)
    return adapted


def restored(source, tensors):
    made = copy.deepcopy(source)
    Differences("source", "hash", tensors, {}).add_to(made)
    return made


def energy(changes):
    return sum(float(change.square().sum()) for change in changes.values())


def test_with_room_for_all_nothing_is_lost(pair):
    source, adapted = pair
    tensors = LowRank(source, adapted).within(10**7)
    made = restored(source, tensors)
    for (name, one), other in zip(made.named_parameters(), adapted.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5, msg=name)
    changed = {name for name, change in differences(source, adapted).items() if change.any()}
    assert set(tensors) == changed  # as matrices: full rank takes more room


def test_a_matrix_is_kept_as_well_as_its_rank_allows(pair):
    source, _ = pair
    adapted = copy.deepcopy(source)
    name = "synthesis.blocks.8.conv1.weight"
    change = torch.randn(8, 8, 3, 3, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        dict(adapted.named_parameters())[name].add_(change)
    tensors = LowRank(source, adapted).within(2 * (8 + 72))
    assert {key: tuple(value.shape) for key, value in tensors.items()} == {
        f"{name}.left": (8, 2), f"{name}.right": (2, 72)
    }  # fmt: skip
    values = torch.linalg.svdvals(change.flatten(1))
    left = change.flatten(1) - whole(tensors)[name]
    assert float(left.square().sum()) == pytest.approx(float(values[2:].square().sum()), rel=1e-4)


def test_more_room_keeps_more(pair):
    source, adapted = pair
    changes = differences(source, adapted)
    kept = []
    for room in (100, 400, 1600, 6400):
        tensors = LowRank(source, adapted).within(room)
        assert sum(one.numel() for one in tensors.values()) <= room
        known = whole(tensors)
        left = {name: change - known[name].reshape(change.shape) if name in known else change
                for name, change in changes.items()}  # fmt: skip
        kept.append(1 - energy(left) / energy(changes))
    assert kept[0] > 0 and kept == sorted(kept) and kept[-1] > 0.9


def test_no_room_and_another_architecture_are_refused(pair, make_generator):
    source, adapted = pair
    assert LowRank(source, adapted).within(0) == {}
    with pytest.raises(ValueError, match="same architecture"):
        LowRank(source, make_generator(width=4))
    with pytest.raises(ValueError, match="do not fit this generator"):
        restored(make_generator(width=4), LowRank(source, adapted).within(10**7))


def test_offsets_of_the_styles_are_found(make_generator):
    """An adaptation that is one of the styles comes back; no other parameter changes."""
    source = make_generator(seed=3)
    adapted = changed(source, lambda name: name.endswith(".affine.bias"), 0.5)
    likeness = Lpips(lambda images: [torch.nn.functional.avg_pool2d(images, 2)])
    found = fit(source, adapted, styles(source), likeness, rate=0.02, steps=150)
    assert set(found) == {name for name, _ in source.named_parameters() if name.endswith(".affine.bias")}
    images, wanted, before = (
        sample_images(one, 32, seed=9, truncation_psi=1) for one in (restored(source, found), adapted, source)
    )
    assert (images - wanted).square().mean() < 0.1 * (before - wanted).square().mean()


@pytest.mark.parametrize("form", ["low-rank", "styles"])
def test_a_file_states_what_is_lost_and_is_a_generator(full_run, tmp_path, form):
    file = tmp_path / "cat.safetensors"
    found = export(full_run, file, form=form, max_kb=60, n=8, steps=2, progress=False)
    assert found["bytes"] == file.stat().st_size <= 60_000
    stored = load_differences(file)
    assert stored.provenance == {key: found[key] for key in found if key not in ("source", "bytes")}
    assert (stored.source, found["run"]) == ("generator-dog", full_run.folder.name)
    compact = load_generator(file)
    made = [
        sample_images(one, 8, seed=7_000_003, truncation_psi=1) for one in (compact, full_run.generator())
    ]
    errors = (made[0] - made[1]).square().flatten(1).mean(1)
    assert float((10 * torch.log10(4 / errors)).mean()) == pytest.approx(found["psnr"], abs=0.01)
    assert found["lpips"] > 0
    again = tmp_path / "again.safetensors"
    export(full_run, again, form=form, max_kb=60, n=8, steps=2, progress=False)
    assert again.read_bytes() == file.read_bytes()


def test_a_larger_file_loses_less(full_run, tmp_path):
    small, large = (
        export(full_run, tmp_path / f"{kb}.safetensors", max_kb=kb, n=8, steps=0, progress=False)
        for kb in (20, 300)
    )
    assert large["lpips"] < small["lpips"] <= 1.2 * small["lpips_source"]
    errors = [one["measures"]["clip_score"]["error"] for one in (large, small)]
    assert errors[0] < errors[1]


def test_a_file_differs_on_other_latents_by_no_more_than_it_states(full_run, tmp_path):
    """One whose numbers are altered afterwards does."""
    file = tmp_path / "cat.safetensors"
    found = export(full_run, file, max_kb=60, n=40, steps=2, progress=False)
    look = judge_of(full_run.config, networks_for(load_generator("dog")).judge)

    def differences_of(small):
        both = [look(Samples(one, 40, SAMPLES_SEED, 1.0)) for one in (small, full_run.generator())]
        return {name: abs(float(both[0][name].mean() - both[1][name].mean())) for name in MEASURES}

    bounds = {name: one["error"] for name, one in found["measures"].items()}
    assert all(value <= bounds[name] for name, value in differences_of(load_generator(file)).items())
    assert all(bound < 0.2 for bound in bounds.values())
    altered = differences_of(mix({file: 12.0}))
    assert altered["diversity"] > bounds["diversity"] and altered["clip_score"] > bounds["clip_score"]


def nearest_of_ten(values):
    """Distance of each value to the medoid of its cluster, which depends on all of them, as in LPIPS."""
    distances = (values[:, None] - values[None]).abs()
    return intra_cluster_lpips(distances, PAPER, CLUSTERS).each


def test_the_stated_error_covers_other_latents():
    """For latents whose contributions differ at random, and by a shift, in at least 95 of 100 draws."""
    random = torch.Generator().manual_seed(5)
    kept = {"clip_score": 0, "clip_rate": 0, "diversity": 0}
    for _ in range(200):
        run = [torch.randn(100, generator=random, dtype=torch.float64) for _ in range(2)]
        file = [one + 0.1 + 0.3 * torch.randn(one.shape, generator=random) for one in run]
        for name, values in (
            ("clip_score", lambda x: x),
            ("clip_rate", lambda x: (x > -2).double()),
            ("diversity", nearest_of_ten),
        ):
            (first, later), (made, again) = ([values(x) for x in part] for part in (run, file))
            bound = stated({name: first}, {name: made})[name].error
            kept[name] += bool((again.mean() - later.mean()).abs() <= bound)
    assert min(kept.values()) >= 190


def test_a_stated_error_is_the_difference_and_its_spread():
    run = torch.arange(20, dtype=torch.float64) / 20
    same, shifted = (stated({"clip_score": run}, {"clip_score": run + x})["clip_score"] for x in (0, 0.125))
    assert same == (0.475, 0.475, 0)  # nothing varies
    assert shifted == pytest.approx((0.475, 0.6, 0.125), abs=2e-5)
    ones = torch.ones(20, dtype=torch.float64)
    assert stated({"clip_rate": ones}, {"clip_rate": ones})["clip_rate"] == (1, 1, 0.15)  # three in 20


def test_a_size_that_is_too_small_leaves_no_file(full_run, tmp_path):
    file = tmp_path / "cat.safetensors"
    file.write_bytes(b"an earlier one")
    for form in ("low-rank", "styles"):
        with pytest.raises(ValueError, match="max_kb=1 (holds no part|is too small)"):
            export(full_run, file, form=form, max_kb=1, n=2, progress=False)
    assert file.read_bytes() == b"an earlier one"
    with pytest.raises(ValueError, match="steps=0 leaves the offsets"):
        export(full_run, file, form="styles", steps=0)
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        export(full_run, tmp_path / "cat.pt")


@pytest.fixture
def parts(pair, make_generator, tmp_path):
    """A source in a file, and two files of differences from it."""
    source, adapted = pair
    save(source, tmp_path / "source.safetensors", {})
    weights = names.generator(tmp_path / "source.safetensors")
    files = tmp_path / "one.safetensors", tmp_path / "two.safetensors"
    for file, room in zip(files, (300, 10**6), strict=True):
        Differences(weights.name, weights.identity, LowRank(source, adapted).within(room), {}).save(file)
    return source, files


def test_a_mixture_is_the_weighted_sum(parts):
    source, files = parts
    mixed = mix({files[0]: 0.25, files[1]: -0.5})
    one, two = (differences(source, load_generator(file)) for file in files)
    for name, change in differences(source, mixed).items():
        torch.testing.assert_close(change, 0.25 * one[name] - 0.5 * two[name], atol=1e-5, rtol=1e-4)


def test_they_are_converted_to_a_whole_generator(parts, tmp_path):
    source, files = parts
    assert cli.main(["convert", str(files[1]), str(tmp_path / "whole.safetensors")]) == 0
    whole_, compact = (load_generator(file) for file in (tmp_path / "whole.safetensors", files[1]))
    assert differences(source, compact)["synthesis.const"].any()
    assert all(
        torch.equal(one, other) for one, other in zip(whole_.parameters(), compact.parameters(), strict=True)
    )


def test_differences_go_to_another_generator_of_their_architecture(parts, make_generator, tmp_path):
    source, files = parts
    other = make_generator(seed=8)
    save(other, tmp_path / "other.safetensors", {})
    moved = mix({files[1]: 1.0}, generator=tmp_path / "other.safetensors")
    wanted, found = differences(source, load_generator(files[1])), differences(other, moved)
    for name, change in wanted.items():
        torch.testing.assert_close(found[name], change, atol=1e-5, rtol=1e-4)


def test_files_that_do_not_fit_are_refused(parts, tmp_path):
    _, files = parts
    for other in (tmp_path / "source.safetensors", tmp_path):
        with pytest.raises(ValueError, match="is no file of differences"):
            mix({other: 1.0})
    stored = load_differences(files[0])
    Differences("generator-dog", "0" * 64, stored.tensors, {}).save(tmp_path / "stranger.safetensors")
    with pytest.raises(ValueError, match="differences from another generator-dog"):
        load_generator(tmp_path / "stranger.safetensors")
    with pytest.raises(ValueError, match="differences from another generator-dog"):
        mix({tmp_path / "stranger.safetensors": 1.0})
    dog = names.generator("dog")
    Differences(dog.name, dog.identity, stored.tensors, {}).save(tmp_path / "of_dog.safetensors")
    with pytest.raises(ValueError, match="the parts have the sources .*generator-dog"):
        mix({files[0]: 1.0, tmp_path / "of_dog.safetensors": 1.0})
    Differences("gone.pkl", "0" * 64, stored.tensors, {}).save(tmp_path / "orphan.safetensors")
    with pytest.raises(ValueError, match="orphan.* which is not here .*zsgan mix .* --generator"):
        load_generator(tmp_path / "orphan.safetensors")
    lonely = {name: tensor for name, tensor in stored.tensors.items() if not name.endswith(".right")}
    Differences(stored.source, stored.identity, lonely, {}).save(tmp_path / "lonely.safetensors")
    with pytest.raises(ValueError, match="no pairs of matrices"):
        load_generator(tmp_path / "lonely.safetensors")


def test_hostile_numbers_are_refused(parts, tmp_path):
    source, _ = parts
    weights = names.generator(tmp_path / "source.safetensors")
    huge = {"synthesis.const.left": torch.ones(60_000, 1), "synthesis.const.right": torch.ones(1, 60_000)}
    made = Differences(weights.name, weights.identity, huge, {})
    made.save(tmp_path / "huge.safetensors")  # their product would take 14 GB
    with pytest.raises(ValueError, match="do not fit this generator"):
        load_generator(tmp_path / "huge.safetensors")
    turned = {"synthesis.blocks.8.conv1.affine.weight": torch.ones(16, 8)}
    with pytest.raises(ValueError, match="do not fit this generator"):
        restored(source, turned)
    with pytest.raises(ValueError, match="numbers that float16 does not hold"):
        Differences(weights.name, "", {"synthesis.const": torch.tensor([1e6])}, {}).save(tmp_path / "x")
    config = {"kind": "differences", "source": {"name": weights.name, "sha256": weights.identity}}
    nan = {"synthesis.const": torch.full_like(source.synthesis.const, torch.nan)}
    save_tensors(nan, tmp_path / "nan.safetensors", config=config, provenance={})
    with pytest.raises(ValueError, match="not finite"):
        load_generator(tmp_path / "nan.safetensors")


def test_strengths_are_read():
    assert strengths(["a.safetensors=0.5", "b=c.safetensors=-1", "d.safetensors"]) == {
        "a.safetensors": 0.5, "b=c.safetensors": -1, "d.safetensors": 1
    }  # fmt: skip
    with pytest.raises(ValueError, match="must be a number, got 'much'"):
        strengths(["a=much"])
    with pytest.raises(ValueError, match="a is named twice"):
        strengths(["a=1", "a"])


def test_the_commands(full_run, tmp_path, capsys):
    file, both = tmp_path / "cat.safetensors", tmp_path / "both.safetensors"
    assert (
        cli.main(
            ["export", str(full_run.folder), "--out", str(file), "--max-kb", "80", "--n", "4", "--steps", "1"]
        )
        == 0
    )
    assert json.loads(capsys.readouterr().out)["bytes"] <= 80_000
    assert cli.main(["mix", f"{file}=2", "--out", str(both)]) == 0
    twice, once = (differences(load_generator("dog"), load_generator(one)) for one in (both, file))
    name = max(once, key=lambda key: float(once[key].abs().max()))
    torch.testing.assert_close(twice[name], 2 * once[name], atol=1e-5, rtol=1e-4)
