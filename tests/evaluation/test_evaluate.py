"""What `zsgan evaluate` prints is what the metrics say, for a run and for any folder of images."""

import argparse
import inspect
import io
import json
import math
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tqdm import tqdm

from zsgan import cli
from zsgan.adaptation.config import override
from zsgan.base.files import write_json
from zsgan.base.images import Folder, save_images
from zsgan.evaluation import evaluate as evaluation
from zsgan.evaluation.bench import SAMPLES_SEED
from zsgan.evaluation.evaluate import evaluate
from zsgan.evaluation.judges import truth_hits
from zsgan.evaluation.measurements import Measurements
from zsgan.evaluation.subjects import PSI, is_run, subject_of
from zsgan.evaluation.wanted import check_numbers
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.portraits import TRUTH_SEED, Drawing
from zsgan.metrics import (
    AIR,
    DEFINITIONS,
    OJHA,
    Lpips,
    clip_direction,
    clip_score,
    cmmd,
    density_coverage,
    frechet_distance,
    identity_kept,
    inception_score,
    intra_cluster_lpips,
    kernel_distance,
    precision_recall,
    structure_kept,
    target_rate,
    variance,
    vendi_score,
)
from zsgan.metrics.columns import MEASURES
from zsgan.metrics.progress import Picked
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import Samples, sample_images
from zsgan.runs.profiles import load_profile
from zsgan.runs.run import run

QUIET = {"progress": False, "clusters": 3}
CATS = {"species": "cat", "style": "photo"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folders of 12 cats, the 12 dogs that they were, 3 other cats to assign to, and 9 true cats."""
    folder = tmp_path_factory.mktemp("evaluation")
    save_images(Drawing(CATS, 12, seed=1), folder / "cats")
    save_images(Drawing({"species": "dog", "style": "photo"}, 12, seed=1), folder / "dogs")
    save_images(Drawing(CATS, 3, seed=2), folder / "ten")
    save_images(Drawing(CATS, 9, seed=3), folder / "true")
    return folder


def test_every_number_is_that_of_its_metric(place):
    found = evaluate(
        str(place / "cats"), against=str(place / "true"), before=str(place / "dogs"), text="cat",
        source_text="dog", centres=str(place / "ten"), presets=list(DEFINITIONS), neighbours=2,
        folder=place, **QUIET,
    )  # fmt: skip
    eyes, clip = load_evaluator(), load_clip("clip-b")
    cats, dogs, ten, true = (Folder(place / name)[:] for name in ("cats", "dogs", "ten", "true"))
    seen, before, known = (eyes.embed(images) for images in (cats, dogs, true))
    features = clip.encode_images(cats)
    target, source = clip.encode_texts(["cat", "dog"])
    lpips = Lpips.through(eyes)
    random = torch.Generator().manual_seed(0)
    ojha = intra_cluster_lpips(
        lpips.distances(cats), OJHA, to_given=lpips.distances(cats, ten), generator=random
    )
    air = intra_cluster_lpips(lpips.distances(cats), AIR, 3)
    density, coverage = density_coverage(seen, known, 2)
    precision, recall = precision_recall(seen, known, 2)
    expected = {
        "lpips_ojha_avg": ojha.avg, "lpips_ojha_all_std": ojha.all_std, "lpips_air_all": air.all,
        "vendi": vendi_score(seen), "inception_fur": inception_score(eyes.read(seen).logits["fur"]),
        "clip_variance": float(variance(features)),
        "clip_score": clip_score(features, target), "clip_rate": target_rate(features, target, source),
        "identity_kept": float(identity_kept(before, seen).mean()),
        "structure_kept": structure_kept(before, seen), "fid": frechet_distance(seen, known),
        "kid": kernel_distance(seen, known), "precision": precision, "recall": recall,
        "density": density, "coverage": coverage,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-3, nan_ok=True)
    settings = {"n": 12, "clip": "clip-b", "clusters": 3, "n_against": 9, "neighbours": 2, "n_lpips": 12}
    assert {name: found[name] for name in settings} == settings
    assert "64 px" in found["features"] and found["evaluator_rate"] is None
    assert {f"lpips_{name}_avg" for name in ("literal", "ojha", "air")} | {"lpips_avg"} <= set(found)
    # dogs drawn from the same scores are more like their cats than like others
    assert found["structure_kept"] > 0.2 and found["clip_rate"] > 0.5
    extra = evaluate(
        str(place / "cats"), against=str(place / "true"), before=str(place / "dogs"), text="cat",
        source_text="dog", measures="extra", folder=place, **QUIET,
    )  # fmt: skip
    assert extra.items() >= {"n": 12, "clip": "clip-b", "n_against": 9}.items() and "features" not in extra
    assert {name: extra[name] for name in MEASURES["extra"]} == pytest.approx({
        "clip_quality": clip_score(features, target),  # of one prompt
        "clip_direction": clip_direction(clip.encode_images(dogs), features, source, target),
        "cmmd": cmmd(features, clip.encode_images(true)),
    }, rel=1e-3)  # fmt: skip
    assert not set(MEASURES["extra"]) & set(found)  # unless they are asked for


def test_what_is_not_known_is_not_there(place, caplog):
    found = evaluate(str(place / "cats"), folder=place, **QUIET)
    absent = {"fid", "kid", "clip_score", "identity_kept", "psi", "against"}
    assert found["clip_rate"] is None and found["evaluator_rate"] is None
    assert "target rate unknown, and without it their diversity says little: name the target" in caplog.text
    caplog.clear()
    assert not absent & set(found) and found["vendi"] > 1 and found["inception_species"] >= 1
    drawn = evaluate(str(place / "cats"), against="drawn:cat", n=10, text="cat", folder=place, **QUIET)
    hits = truth_hits(load_evaluator()(Folder(place / "cats")[:]), CATS)
    assert drawn["evaluator_rate"] == hits.double().mean()
    assert "clip_score" in drawn and drawn["clip_rate"] is None  # that needs a second text
    assert not caplog.text
    assert "inception_species" not in drawn and "inception_fur" in drawn


def test_a_run_knows_its_texts_and_its_source(full_run, tmp_path):
    found = evaluate(str(full_run.folder), n=12, seed=3, truncation_psi=0.6, folder=tmp_path, **QUIET)
    assert (found["n"], found["seed"], found["psi"]) == (12, 3, 0.6)
    made = sample_images(full_run.generator(), 12, seed=3, truncation_psi=0.6)
    source = sample_images(load_generator("dog"), 12, seed=3, truncation_psi=0.6)
    eyes, clip = load_evaluator(), load_clip("clip-b")
    target = clip.encode_texts(["cat"], full_run.config.prompts)[0]
    assert found["clip_score"] == pytest.approx(clip_score(clip.encode_images(made), target), rel=1e-4)
    assert found["structure_kept"] == pytest.approx(
        structure_kept(eyes.embed(source), eyes.embed(made)), rel=1e-3
    )
    with pytest.raises(ValueError, match="clip='clip-c' guided this run, and cannot judge"):
        evaluate(str(full_run.folder), clip="clip-c", folder=tmp_path, **QUIET)


def test_a_run_is_compared_with_the_source_it_came_from_alone(full_run, tmp_path, monkeypatch):
    """A generator that now has the source's name is not it."""
    other = SimpleNamespace(name="generator-dog", identity="0")
    monkeypatch.setattr("zsgan.runs.run.names", SimpleNamespace(generator=lambda name: other))
    with pytest.raises(ValueError, match="was adapted from another generator-dog: its weights have changed"):
        evaluate(str(full_run.folder), n=8, folder=tmp_path, **QUIET)


def test_a_folders_name_does_not_tell_which_run_it_holds(full_run, place, tmp_path, monkeypatch):
    """Distances are kept for the run, whatever its folder is called."""
    copy = tmp_path / "best"
    shutil.copytree(full_run.folder, copy)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    first = evaluate(str(copy), n=8, folder=tmp_path, **QUIET)
    assert not torch.backends.cudnn.allow_tf32
    shutil.rmtree(copy)  # another run takes its place
    shutil.copytree(run(override(full_run.config, {"seed": 1}), folder=tmp_path / "runs").folder, copy)
    second = evaluate(str(copy), n=8, folder=tmp_path, **QUIET)
    assert first["lpips_all"] != second["lpips_all"]
    again = evaluate(str(full_run.folder), n=8, folder=tmp_path, **QUIET)
    assert again["lpips_all"] == first["lpips_all"]
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2


def test_eyes_suit_the_generator_unless_they_are_named(full_run, place, tmp_path, monkeypatch):
    """Photographs for a generator that is not of the demo world, by its name or by its content."""
    asked = []

    def load(name, device):
        asked.append(name)
        return load_evaluator(device)

    monkeypatch.setattr(evaluation, "load_eyes", load)

    def adapted(generator):
        config = override(full_run.config, {"generator": str(generator)})
        return run(config, folder=tmp_path / "runs").folder

    small = {"n": 4, "clusters": 2, "folder": tmp_path, "progress": False, "clip": "clip-b"}
    for folder in (
        full_run.folder,  # of the demo
        adapted(full_run.folder / "generator.safetensors"),  # adapted twice, it is of the demo still
        foreign := adapted("random-16"),
    ):
        evaluate(str(folder), **small)
    evaluate(str(full_run.folder), eyes="photographs", **small)
    evaluate(str(foreign), eyes="evaluator", **small)
    evaluate(str(place / "cats"), folder=tmp_path, **QUIET)
    assert asked == ["evaluator", "evaluator", "photographs", "photographs", "evaluator", "evaluator"]


def test_all_is_refused_before_anything_is_computed(place, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "load_eyes", None)
    save_images(Drawing(CATS, 2), tmp_path / "two")
    save_images(torch.zeros(12, 3, 8, 9), tmp_path / "wide")
    others, cut = tmp_path / "others", tmp_path / "cut"
    for folder in (others, cut):
        shutil.copytree(place / "dogs", folder)
    (others / "00005.png").rename(others / "00012.png")
    (cut / "00003.png").write_bytes((place / "dogs" / "00003.png").read_bytes()[:-200])
    truncated = "00003.png cannot be read as an image .image file is truncated"
    for arguments, message in (
        ({"presets": ["mine"]}, "preset='mine' is unknown; choose one of paper, literal, ojha, air"),
        ({"presets": ["ojha"]}, "needs centres"),
        ({"clusters": 12}, "below the number of images, 12, got 12"),
        ({"before": str(place / "true")}, "each of the 12 latents, got 9 images"),
        ({"before": str(others)}, "before='.*others': its image '00006' stands beside '00005'"),
        *(({name: str(cut)}, truncated) for name in ("images", "before", "against", "centres")),
        ({"images": str(tmp_path / "two")}, "images must be at least 3 .*, got 2"),
        ({"images": str(tmp_path / "wide")}, "images must be square, got 9 x 8 px; crop them"),
        ({"against": str(tmp_path / "wide")}, "against must be square, got 9 x 8 px; crop them"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(**{"images": str(place / "cats"), "folder": tmp_path, **QUIET, **arguments})


def test_files_are_counted_and_their_numbers_pair_them(place, tmp_path):
    """img0, img1... img11 are the images of 00000, 00001...; a file of another program makes no run."""
    for i in range(12):
        (tmp_path / "made" / "all").mkdir(parents=True, exist_ok=True)
        shutil.copy(place / "cats" / f"{i:05d}.png", tmp_path / "made" / "all" / f"img{i}.png")
    (tmp_path / "made" / "notes.txt").touch()
    for name in ("config.json", "provenance.json"):
        write_json(tmp_path / "made" / name, {"id": "another program's"})
    found = evaluate(
        str(tmp_path / "made"), before=str(place / "cats"), recursive=True, folder=tmp_path, **QUIET
    )
    assert found["n"] == 12 and found["files"] == {
        "images": {"read": 12, "left_out": {".json": 2, ".txt": 1}},
        "before": {"read": 12, "left_out": {}},
    }
    assert found["identity_kept"] == pytest.approx(1) and found["structure_kept"] == pytest.approx(1)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "no JSON", '{"generator": "stylegan3"}'])
def test_files_of_other_programs_make_no_run(full_run, tmp_path, content):
    for name in ("config.json", "provenance.json"):
        (tmp_path / name).write_text(content)
    assert not is_run(tmp_path) and not is_run(tmp_path / "absent")
    assert is_run(full_run.folder)
    for name in ("config.json", "provenance.json", "generator.safetensors"):
        other = tmp_path / name[:-5]
        other.mkdir()
        shutil.copy(full_run.folder / name, other)
        assert is_run(other)


def test_images_beside_a_run_are_those_of_its_latents(full_run, place, tmp_path):
    save_images(Drawing(CATS, 4), tmp_path / "before")
    small = {"n": 4, "seed": 0, "truncation_psi": 0.7, "device": "cpu"}
    assert len(subject_of(full_run.folder, tmp_path / "before", **small).before) == 4
    for i in (3, 2, 1, 0):
        (tmp_path / "before" / f"{i:05d}.png").rename(tmp_path / "before" / f"{i + 1}.png")
    with pytest.raises(ValueError, match="its image '1' stands beside '00000'"):
        subject_of(full_run.folder, tmp_path / "before", **small)


def test_numbers_may_be_words_or_whole_floats():
    assert check_numbers("5", 2.0, "0.5", None) == (5, 2, 0.5, None)


def test_the_command_offers_the_published_definitions():
    """They are written out there, since its help does not wait for torch."""
    (commands,) = [a for a in cli._parser()._actions if isinstance(a, argparse._SubParsersAction)]
    (preset,) = [a for a in commands.choices["evaluate"]._actions if a.dest == "preset"]
    assert list(preset.choices) == list(DEFINITIONS)


# The numbers of the tables


def test_a_run_has_the_numbers_of_its_table(smoke, full_run, runs_folder, tmp_path):
    """Same images, truth, judges and names, by the defaults, but for the sizes of smoke."""
    row = "L_dm + L_EWC + L_rel"
    profile = replace(smoke, rows={row: smoke.rows[row]})
    line = Measurements(profile, runs_folder).table("dog-to-cat").iloc[0]
    sizes = {"n": profile.samples, "clusters": profile.clusters, "progress": False, "folder": tmp_path}
    found = evaluate(full_run, against="drawn:cat", **sizes)
    columns = [name for name in line.index if isinstance(line[name], float) and name in found]
    assert {"psi", "fid", "kid", "coverage", "evaluator_rate", "clip_rate", "clip_score"} < set(columns)
    assert {"clip_variance", "vendi", "lpips_avg", "lpips_literal_all_std", "inception_fur"} < set(columns)
    assert {"identity_kept", "structure_kept"} < set(columns)
    assert found["seed"] == SAMPLES_SEED and found["seed_against"] == TRUTH_SEED
    assert {name: found[name] for name in columns} == pytest.approx(line[columns].to_dict(), rel=1e-6)
    numbers = [name for name, value in found.items() if isinstance(value, float)]
    assert set(numbers) == set(columns)  # and it has no other
    by_folder = evaluate(str(full_run.folder), against="drawn:cat:photo", measures="fid", **sizes)
    assert by_folder["fid"] == found["fid"] and by_folder["psi"] == 1


def test_the_defaults_are_those_of_the_profiles():
    defaults = {name: p.default for name, p in inspect.signature(evaluate).parameters.items()}
    demo, paper = load_profile("demo"), load_profile("paper")
    assert (evaluation.N, defaults["clusters"], defaults["neighbours"]) == (
        demo.samples, demo.clusters, demo.neighbours,
    )  # fmt: skip
    assert {defaults[name] for name in ("n", "seed", "truncation_psi")} == {None}
    assert {profile.eyes: profile.truncation_psi for profile in (demo, paper)} == PSI


# Only what is asked for


def test_only_the_measures_that_are_asked_for_are_computed(place, tmp_path, monkeypatch):
    cats = str(place / "cats")
    settings = {"against": "drawn:cat", "n": 12, "folder": tmp_path, **QUIET}
    whole = evaluate(cats, text="cat", source_text="dog", before=str(place / "dogs"), **settings)
    basis = {"n", "files", "features", "n_against", "against", "seed_against"}
    monkeypatch.setattr(evaluation, "load_clip", None)
    monkeypatch.setattr(Lpips, "distances", None)
    found = evaluate(cats, measures="fid", **settings)
    assert set(found) == basis | {"fid"} and found["fid"] == whole["fid"]
    found = evaluate(cats, measures=["closeness", " vendi"], **(settings | {"clusters": 99}))
    assert set(found) == basis | {"neighbours", "vendi", *MEASURES["closeness"]}
    assert {name: found[name] for name in MEASURES["closeness"]} == {
        name: whole[name] for name in MEASURES["closeness"]
    }
    found = evaluate(cats, measures="kept", before=str(place / "dogs"), folder=tmp_path, progress=False)
    assert list(found)[-2:] == list(MEASURES["kept"]) and "clip" not in found
    monkeypatch.undo()
    found = evaluate(cats, measures="clip_rate,lpips", text="cat", source_text="dog", **settings)
    assert found["clip_rate"] == whole["clip_rate"] and found["lpips_avg"] == whole["lpips_avg"]
    assert "vendi" not in found and "fid" not in found and "evaluator_rate" not in found
    for measures, message in (
        ("fid,inseption", "measure='inseption' is unknown; choose among diversity, adaptation, .* fid"),
        ([], "measure='' is unknown"), ("clip_score", "measure='clip_score' needs the target's text"),
        ("identity_kept", "needs before"), ("kept", "needs before"), ("clip_rate,lpips", "clip_rate"),
        ("cmmd", "measure='cmmd' needs against"), ("clip_direction", "needs before"),
        ("clip_quality", "needs the target's text"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            evaluate(cats, measures=measures, folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="measure='fid' needs against: true images of the target"):
        evaluate(cats, measures=("fid",), folder=tmp_path, **QUIET)


def test_lpips_rests_on_a_seeded_choice_of_many_images(place, tmp_path):
    cats = str(place / "cats")
    found = evaluate(cats, lpips_images=8, folder=tmp_path, **QUIET)
    assert (found["n"], found["n_lpips"]) == (12, 8)
    places = torch.randperm(12, generator=torch.Generator().manual_seed(0))[:8].sort().values
    distances = Lpips.through(load_evaluator()).distances(Folder(place / "cats")[:][places])
    assert found["lpips_avg"] == pytest.approx(intra_cluster_lpips(distances, k=3).avg, rel=1e-6)
    again = evaluate(cats, lpips_images=8, folder=tmp_path, **QUIET)
    assert again == found
    other = evaluate(cats, lpips_images=8, seed=1, folder=tmp_path, **QUIET)
    assert other["lpips_avg"] != found["lpips_avg"] and other["vendi"] == found["vendi"]
    every = evaluate(cats, lpips_images=None, folder=tmp_path, **QUIET)
    assert every["n_lpips"] == 12 and every == evaluate(cats, folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="clusters must be at least 1 and below the number of images, 8"):
        evaluate(cats, lpips_images=8, clusters=8, folder=tmp_path, progress=False)


def test_a_subset_of_a_runs_images_is_made_in_batches(full_run):
    images, places = Samples(full_run.generator(), 12, seed=0), torch.tensor([1, 4, 5, 11])
    asked = []

    class Spy(Samples):
        def __getitem__(self, part):
            asked.append(part.tolist())
            return super().__getitem__(part)

    picked = Picked(Spy(images.generator, 12, seed=0), places)
    torch.testing.assert_close(picked[1:4], images[:][places[1:4]])
    assert len(picked) == 4 and asked == [[4, 5, 11]]
    assert torch.equal(Picked(images[:], places)[:2], images[:][places[:2]])


def test_a_clip_from_a_file_is_named_by_the_file(place, tmp_path, monkeypatch):
    (tmp_path / "tuned.pt").write_bytes(b"weights")
    clip = f"ViT-B-32/{tmp_path / 'tuned.pt'}"
    monkeypatch.setattr(evaluation, "load_clip", lambda name, device: load_clip("clip-b"))
    found = evaluate(place / "cats", clip=clip, measures="clip_variance", folder=tmp_path, progress=False)
    assert found["clip"] == clip


def test_one_bar_reaches_the_end_with_the_last_number(place, tmp_path, monkeypatch):
    bars = []

    class Bar(tqdm):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options, file=io.StringIO())
            bars.append(self)

    monkeypatch.setattr("zsgan.metrics.progress.tqdm", Bar)
    evaluate(
        str(place / "cats"), against="drawn:cat", n=20, before=str(place / "dogs"), folder=tmp_path,
        clusters=3, progress=True,
    )  # fmt: skip
    (bar,) = bars
    assert bar.n == pytest.approx(bar.total) and "neighbours: 100%" in bar.fp.getvalue()


# Where nothing can be written


@pytest.mark.parametrize("stage", ["before", "after"])
def test_a_cache_that_cannot_be_written_loses_nothing(place, tmp_path, monkeypatch, caplog, stage):
    expected = evaluate(str(place / "cats"), folder=tmp_path / "good", **QUIET)
    calls, whole = [], Lpips.distances
    monkeypatch.setattr(Lpips, "distances", lambda self, *a, **o: calls.append(1) or whole(self, *a, **o))
    if stage == "before":
        (tmp_path / "runs").write_text("a file where the folder should be")
    else:

        def full(*arguments, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("zsgan.base.cache.save_tensors", full)
    found = evaluate(str(place / "cats"), folder=tmp_path / "runs", **QUIET)
    assert found == expected and calls == [1]
    assert "LPIPS distances are not kept" in caplog.text and "--runs" in caplog.text


def test_an_image_that_cannot_be_read_is_no_matter_of_the_cache(place, tmp_path, monkeypatch):
    def gone(self, *arguments, **options):
        raise FileNotFoundError("cats/00003.png")

    monkeypatch.setattr(Lpips, "distances", gone)
    with pytest.raises(FileNotFoundError, match=r"cats/00003\.png"):
        evaluate(str(place / "cats"), folder=tmp_path, **QUIET)


# From Python


def test_tensors_paths_and_runs_are_measured_alike(place, full_run, tmp_path):
    settings = {"folder": tmp_path, **QUIET}
    cats, dogs, true = (Folder(place / name)[:] for name in ("cats", "dogs", "true"))
    found = evaluate(cats, before=dogs, against=true, neighbours=2, **settings)
    files = evaluate(place / "cats", before=place / "dogs", against=place / "true", neighbours=2, **settings)
    different = {"files", "against"}
    assert {k: v for k, v in found.items() if k not in different} == {
        k: v for k, v in files.items() if k not in different
    }
    assert found["files"] == {} and found["against"] == "a tensor" and json.dumps(found)
    assert evaluate(cats.double(), **settings)["vendi"] == found["vendi"]
    assert evaluate(full_run, n=12, **settings) == evaluate(full_run.folder, n=12, **settings)


def test_what_are_no_images_is_refused_by_its_kind(place, tmp_path, caplog):
    images = Folder(place / "cats")[:]
    for given, message in (
        (((images + 1) * 127.5).byte(), "got torch.uint8; convert uint8 by x / 127.5 - 1"),
        (images.numpy(), r"images must be a folder or a tensor \(N, 3, H, W\) in \[-1, 1\], got ndarray"),
        (None, "got NoneType"),
    ):
        with pytest.raises(TypeError, match=message):
            evaluate(given, folder=tmp_path, **QUIET)
    for given, message in (
        ((images + 1) * 127.5, r"must lie in \[-1, 1\], got values from .* to 2"),
        (torch.full_like(images, torch.nan), r"must lie in \[-1, 1\], got values from nan"),
        (images[:, :1], r"must be \(N, 3, H, W\)"), (images[:, :, 1:], "must be square, got 64 x 63 px"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            evaluate(given, folder=tmp_path, **QUIET)
    with pytest.raises(TypeError, match="uint8"):
        evaluate(images, against=images.byte(), folder=tmp_path, **QUIET)
    evaluate((images + 1) / 2, measures="vendi", folder=tmp_path, progress=False)
    assert "no value below 0; images in [0, 1] must be brought to [-1, 1]" in caplog.text


def test_what_cannot_be_measured_is_refused_before_any_network_is_loaded(place, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "load_eyes", None)
    same = "are the same: there is no direction to follow"
    for arguments, message in (
        ({"text": "cat", "source_text": "Cat"}, same), ({"text": "a  cat", "source_text": "A cat "}, same),
        ({"presets": ()}, "presets=.* must be a list of one or more of paper, literal"),
        ({"presets": "paper"}, "must be a list"), ({"text": " "}, "text=' ' is empty"),
        ({"truncation_psi": math.nan}, "truncation_psi=nan: Input should be a finite number"),
        ({"truncation_psi": -0.5}, "truncation_psi=-0.5: Input should be greater than or equal to 0"),
        ({"seed": -1}, "seed=-1: Input should be greater than or equal to 0"),
        ({"seed": 10**20}, "seed=1.*: Input should be less than 9223372036854775808"),
        ({"n": 2.5}, "n=2.5: Input should be a valid integer"),
        ({"n": 10**12}, "n=1000000000000: Input should be less than or equal to 10000000"),
        ({"lpips_images": 0}, "lpips_images=0: Input should be greater than or equal to 1"),
        ({"truncation_psi": 0.5}, "psi=0.5 has no effect on images that are given.*leave it out"),
        ({"n": 5}, "n=5 has no effect .*lpips_images limits those for LPIPS"),
        ({"seed": 5, "against": str(place / "true")}, "seed=5 has no effect on images that are given"),
        ({"neighbours": 0, "against": str(place / "true")}, "got 12 and 9"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            evaluate(str(place / "cats"), folder=tmp_path, **{**QUIET, **arguments})
