import json
import math
import shutil
from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest
import torch

from zsgan.assets import manifest
from zsgan.base.images import Folder, save_images
from zsgan.evaluation import bench as module
from zsgan.evaluation import measurements as tables
from zsgan.evaluation import measuring
from zsgan.evaluation.judges import truth_hits
from zsgan.evaluation.loading import load_judges
from zsgan.evaluation.measurements import Measurements, generator_quality
from zsgan.evaluation.measuring import measure_all
from zsgan.evaluation.truth import truth_of
from zsgan.menagerie.evaluator import load_evaluator
from zsgan.menagerie.factor_report import LEFT, report
from zsgan.menagerie.factors import CONTINUOUS, SPECIES, STYLES
from zsgan.menagerie.portraits import Drawing, ideal_answers
from zsgan.metrics import (
    LITERAL,
    PAPER,
    Lpips,
    aim,
    clip_direction,
    clip_quality,
    cmmd,
    density_coverage,
    extract,
    frechet_distance,
    identity_kept,
    intra_cluster_lpips,
    kernel_distance,
    manifolds,
    precision_recall,
    structure_kept,
    vendi_score,
)
from zsgan.metrics.eyes import Prediction
from zsgan.networks.load import load_clip, load_generator
from zsgan.networks.sampling import sample_images, sample_latents
from zsgan.report.tables import metrics_table, table_1
from zsgan.runs import run as runs
from zsgan.runs.grid import run_all

SCENARIO = "dog-to-cat"
CLOSENESS = ["fid", "kid", "precision", "recall", "density", "coverage"]
ADAPTATION = ["evaluator_rate", "clip_rate", "clip_score", *CLOSENESS]
PARTS = ("avg", "avg_std", "all", "all_std")
LPIPS = [f"{name}_{part}" for name in ("lpips", "lpips_literal") for part in PARTS]
LABELS = [f"inception_{kind}" for kind in ("ears", "eyes", "fur", "pattern")]
DIVERSITY = [*LPIPS, "clip_variance", "vendi", *LABELS]
KEPT = ["identity_kept", "structure_kept"]
MEASURED = ["sse", *DIVERSITY, *ADAPTATION, *KEPT, *LEFT]


@pytest.fixture(scope="module")
def judges(smoke):
    return load_judges(smoke, SCENARIO)


@pytest.fixture(scope="module")
def table(smoke, runs_folder):
    return Measurements(smoke, runs_folder).table(SCENARIO)


@pytest.fixture(scope="module")
def curves(smoke, runs_folder):
    return Measurements(smoke, runs_folder).course(SCENARIO)


@pytest.fixture
def blind(monkeypatch):
    """Nothing can be measured anew."""

    def fail(*args, **kwargs):
        raise AssertionError("this should have been kept")

    monkeypatch.setattr(module, "Samples", fail)


@pytest.fixture
def quick(monkeypatch, judges):
    """No network is loaded again."""

    def load(profile, scenario, device):
        return replace(judges, truth=truth_of(profile.scenarios[scenario].truth), n=profile.samples)

    monkeypatch.setattr(module, "load_judges", load)


# Rates


def truth_rate(prediction, labels):
    return truth_hits(prediction, labels).double().mean().item()


def one_hot(indices, n):
    return torch.eye(n)[torch.tensor(indices)]


def test_truth_rate_by_hand():
    cat, dog = SPECIES.index("cat"), SPECIES.index("dog")
    photo, sketch = STYLES.index("photo"), STYLES.index("sketch")
    logits = {
        "species": one_hot([cat, cat, dog, cat, dog], len(SPECIES)),
        "style": one_hot([photo, sketch, photo, photo, sketch], len(STYLES)),
    }
    prediction = Prediction(logits, torch.zeros(5, len(CONTINUOUS)))
    assert truth_rate(prediction, {"species": "cat", "style": "photo"}) == 0.4
    assert truth_rate(prediction, {"species": "cat"}) == 0.6
    assert truth_rate(prediction, {"style": "sketch"}) == 0.4
    assert truth_rate(prediction, {"species": "bear"}) == 0.0
    assert truth_rate(prediction, {}) == 1.0
    with pytest.raises(ValueError, match="species='horse' is unknown"):
        truth_rate(prediction, {"species": "horse"})


# Judges


def test_the_judges_are_those_of_the_profile(judges, smoke):
    assert judges.clip.name == smoke.judge == "clip-b"
    assert judges.truth.labels == {"species": "cat", "style": "photo"} and judges.resolution == 64
    expected = judges.clip.encode_texts(["dog", "cat"], smoke.settings["templates"])
    assert torch.equal(judges.texts, expected)
    with pytest.raises(ValueError, match="scenario='dog' is unknown; choose one of dog-to-cat"):
        load_judges(smoke, "dog")


def test_true_images_are_as_close_to_the_truth_as_can_be(judges):
    measured = judges.adaptation(judges.look(judges.truth.images(judges.n, 64)))
    assert list(measured) == ADAPTATION
    assert measured["fid"] == pytest.approx(0, abs=1e-6)
    assert measured["precision"] == measured["recall"] == 1


def test_diversity_is_that_of_the_paper(judges):
    images = Drawing(judges.truth.labels, 9, seed=4)[:]
    measured = judges.diversity(judges.look(images))
    assert list(measured) == DIVERSITY
    expected = intra_cluster_lpips(Lpips(load_evaluator().maps).distances(images), PAPER, 2)
    assert measured["lpips_avg"] == expected.avg and measured["lpips_all_std"] == expected.all_std
    literal = intra_cluster_lpips(Lpips(load_evaluator().maps).distances(images), LITERAL, 2)
    assert measured["lpips_literal_avg"] == literal.avg
    assert measured["lpips_literal_all_std"] == literal.all_std
    assert measured["vendi"] == pytest.approx(vendi_score(load_evaluator().embed(images)), rel=1e-4)
    clip = load_clip("clip-b").encode_images(images)
    pairs = torch.cdist(clip.double(), clip.double()).square()
    assert measured["clip_variance"] == pytest.approx(pairs.sum().item() / (2 * 9 * 8), rel=1e-4)
    alike = judges.diversity(judges.look(images[:1].expand(9, -1, -1, -1)))
    assert alike["lpips_all"] == pytest.approx(0, abs=1e-6)
    assert alike["clip_variance"] == pytest.approx(0, abs=1e-6)
    assert [alike["vendi"], alike["inception_fur"]] == pytest.approx([1, 1], abs=1e-4)


def test_the_quality_of_a_generator_is_that_of_its_images():
    dogs = {"species": "dog", "style": "photo"}
    quality = generator_quality("dog", dogs, 100, truncations=(1.0, 0.5), neighbours=2)
    assert quality.index.tolist() == ["drawn", "generated, ψ = 1", "generated, ψ = 0.5"]
    assert quality.columns.tolist() == ["evaluator_rate", *CLOSENESS]
    evaluator = load_evaluator()
    true = evaluator.embed(Drawing(dogs, 100)[:])
    images = sample_images(load_generator("dog"), 100, seed=module.SAMPLES_SEED, truncation_psi=0.5)
    made = evaluator.embed(images)
    precision, recall = precision_recall(made, true, 2)
    density, coverage = density_coverage(made, true, 2)
    assert quality.iloc[2].to_dict() == pytest.approx({
        "evaluator_rate": truth_rate(evaluator(images), dogs), "fid": frechet_distance(made, true),
        "kid": kernel_distance(made, true), "precision": precision, "recall": recall, "density": density,
        "coverage": coverage,
    })  # fmt: skip
    drawn = quality.loc["drawn"]
    assert 0 < drawn["fid"] < quality["fid"].iloc[1:].min() and drawn["evaluator_rate"] > 0.9
    assert not quality.iloc[1].equals(quality.iloc[2])


def test_a_folder_of_true_images_has_no_target_rate(judges, tmp_path):
    save_images(judges.truth.images(16, 64), tmp_path)
    found = replace(judges, truth=truth_of({"folder": str(tmp_path)}))
    images = Drawing(judges.truth.labels, 9, seed=4)
    seen = judges.look(images)
    measured, drawn = found.adaptation(seen), judges.adaptation(seen)
    assert math.isnan(measured["evaluator_rate"]) and drawn["evaluator_rate"] > 0.5
    assert measured["clip_rate"] == drawn["clip_rate"]
    true = extract(judges.eyes.embed, Folder(tmp_path)[::2])
    expected = frechet_distance(judges.eyes.embed(images[:]), true)
    assert measured["fid"] == pytest.approx(expected, rel=1e-4)


def test_closeness_has_its_columns_whether_or_not_there_are_true_images(judges):
    seen = {"eyes": judges.eyes.embed(Drawing(judges.truth.labels, 9, seed=4)[:])}
    measured = judges.closeness(seen)
    assert list(measured) == CLOSENESS
    assert measured["fid"] == frechet_distance(seen["eyes"], judges.true["eyes"])
    assert measured["recall"] == precision_recall(seen["eyes"], judges.true["eyes"], 3).recall
    assert judges.closeness(seen, ("recall", "lpips", "kid")) == {
        name: measured[name] for name in ("kid", "recall")
    }
    unknown = replace(judges, truth=truth_of({})).closeness(seen)
    assert list(unknown) == CLOSENESS and all(math.isnan(value) for value in unknown.values())


def test_eyes_without_labels_read_nothing(judges):
    class Blind:
        labels = None

    blind, seen = replace(judges, eyes=Blind()), {"eyes": torch.zeros(3, 2)}
    assert blind.hits(seen) is None and blind.rate_column == "clip_rate"
    assert math.isnan(blind.adaptation(seen, ["evaluator_rate"])["evaluator_rate"])


def test_everything_makes_small_images_once(judges):
    """Though LPIPS looks a second time, for maps."""
    drawing, parts = Drawing(judges.truth.labels, 9, seed=4), []

    class Spy:
        def __len__(self):
            return 9

        def __getitem__(self, part):
            parts.append(part)
            return drawing[part]

    found = judges.everything(judges.look(Spy()))
    assert parts == [slice(None, 1), slice(None)]  # the first image tells the size
    kept = {name: found.pop(name) for name in KEPT}
    assert all(math.isnan(value) for value in kept.values())  # no source to compare with
    seen = judges.look(drawing)
    assert found == pytest.approx(judges.diversity(seen) | judges.adaptation(seen))


def test_what_is_kept_is_by_the_evaluator(judges):
    latents = sample_latents(9, 64, seed=1)
    dogs, cats = (load_evaluator().embed(ideal_answers(latents, name)[:]) for name in ("dog", "cat"))
    found = judges.everything(judges.look(ideal_answers(latents, "cat")), {"eyes": dogs})
    assert found["identity_kept"] == pytest.approx(identity_kept(dogs, cats).mean().item(), rel=1e-4)
    assert found["structure_kept"] == pytest.approx(structure_kept(dogs, cats), rel=1e-4)


def test_eyes_may_have_other_features_for_neighbours(judges):
    class Two:
        labels = None

        def embed(self, images):
            return images.flatten(1)[:, :4]

        def near(self, images):
            return images.flatten(1)[:, 7:9]

    two, images = replace(judges, eyes=Two()), Drawing(judges.truth.labels, 9, seed=4)
    wanted = ["fid", "precision", "recall", "density", "coverage"]
    measured = two.closeness(two.look(images, wanted), wanted)
    true = judges.truth.images(judges.n, 64)[:]
    assert measured["fid"] == frechet_distance(Two().embed(images[:]), Two().embed(true))
    made = [network(images[:]) for network in (Two().near, Two().embed)]
    known = [network(true) for network in (Two().near, Two().embed)]
    near, other = (manifolds(a, b, 3) for a, b in zip(made, known, strict=True))
    assert [measured[name] for name in wanted[1:]] == list(near) != list(other)
    assert set(two.look(images, ["recall"])) == {"near"}
    assert not replace(two, truth=truth_of({})).look(images, ["recall"])  # nothing to be near to


def test_extra_measures_are_those_of_the_profile(judges, smoke):
    assert not {"clip_quality", "clip_direction", "cmmd"} & set(judges.measures)
    extra = load_judges(replace(smoke, measures=("cmmd", "clip_direction", "clip_quality")), SCENARIO)
    latents = sample_latents(9, 64, seed=1)
    before, after = (extra.look(ideal_answers(latents, name)) for name in ("dog", "cat"))
    usual, found = judges.everything(after, before), extra.everything(after, before)
    assert {name: found.pop(name) for name in ("clip_quality", "clip_direction", "cmmd")} == pytest.approx({
        "clip_quality": clip_quality(
            after["clip"],
            load_clip("clip-b").encode_texts([t.format("cat") for t in smoke.settings["templates"]]),
        ),
        "clip_direction": clip_direction(before["clip"], after["clip"], *extra.texts),
        "cmmd": cmmd(
            after["clip"], extract(extra.clip.encode_images, extra.truth.images(smoke.samples, 64))
        ),
    })  # fmt: skip
    assert found == usual


# Tables


def test_the_table_has_a_line_for_every_run(table, smoke):
    assert set(table.columns) == {
        "scenario",
        "row",
        "seed",
        "iterations",
        "n",
        "psi",
        *MEASURED,
        "step_seconds",
        "peak_memory",
        "levelled_off",
    }
    assert table["row"].tolist() == list(smoke.rows) and table["seed"].tolist() == [0, 0]
    assert table["iterations"].tolist() == [4, 4] and table["n"].tolist() == [12, 12]
    assert table.drop(columns="peak_memory").notna().all(axis=None)  # that is known of GPUs
    assert (table["step_seconds"] > 0).all()
    shares = table[["evaluator_rate", "clip_rate", "precision", "recall"]]
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert (table[["fid", "lpips_avg", "lpips_all", "clip_variance"]] > 0).all(axis=None)
    assert table["fid"][0] != table["fid"][1]


def test_the_table_measures_the_adapted_generators(table, smoke, full_run, judges):
    images = sample_images(full_run.generator(), 12, seed=module.SAMPLES_SEED, truncation_psi=1.0)
    source = sample_images(load_generator("dog"), 12, seed=module.SAMPLES_SEED, truncation_psi=1.0)
    expected = judges.everything(judges.look(images), {"eyes": judges.eyes.embed(source)})
    assert table.iloc[1][list(expected)].to_dict() == pytest.approx(expected)


def test_measurements_are_kept(table, curves, smoke, runs_folder, blind):
    known = Measurements(smoke, runs_folder)
    pd.testing.assert_frame_equal(known.table(SCENARIO), table)
    pd.testing.assert_frame_equal(known.course(SCENARIO), curves)


@pytest.mark.parametrize(
    "settings",
    [{"samples": 13}, {"clusters": 3}, {"neighbours": 2}, {"truncation_psi": 0.5}, {"measures": ("cmmd",)}],
)
def test_other_measurements_are_made_anew(table, curves, smoke, runs_folder, blind, quick, settings):
    other = replace(smoke, **settings)
    for measure in (Measurements.table, Measurements.course):
        with pytest.raises(AssertionError, match="should have been kept"):
            measure(Measurements(other, runs_folder), SCENARIO)


def test_another_truth_is_measured_anew(table, curves, smoke, runs_folder, blind, quick):
    truth = replace(smoke.scenarios[SCENARIO], truth={"species": "cat"})
    other = replace(smoke, scenarios={SCENARIO: truth})
    for measure in (Measurements.table, Measurements.course):
        with pytest.raises(AssertionError, match="should have been kept"):
            measure(Measurements(other, runs_folder), SCENARIO)


def test_other_questions_to_the_judging_clip_are_asked_anew(
    table, smoke, runs_folder, blind, quick, monkeypatch
):
    """Also of a run that does not depend on the texts, since images guided it."""
    known = module.Bench(smoke, SCENARIO, runs_folder).runs
    monkeypatch.setattr(module.Bench, "runs", known)
    scenario = smoke.scenarios[SCENARIO]
    for other in (
        replace(smoke, scenarios={SCENARIO: replace(scenario, target_text="fox")}),
        replace(smoke, scenarios={SCENARIO: replace(scenario, source_text="wolf")}),
        replace(smoke, settings={**smoke.settings, "templates": "a drawing of a {}"}),
    ):
        with pytest.raises(AssertionError, match="should have been kept"):
            Measurements(other, runs_folder).table(SCENARIO)
    Measurements(smoke, runs_folder).table(SCENARIO)


def test_measuring_is_in_full_precision(two, runs_folder):
    """TensorFloat32 is torch's default in convolutions on a GPU."""
    cudnn = torch.backends.cudnn
    for measure in (
        lambda: Measurements(two, runs_folder).table(SCENARIO),
        lambda: Measurements(two).bounds(SCENARIO),
        lambda: generator_quality("dog", two.scenarios[SCENARIO].truth, 8),
    ):
        cudnn.allow_tf32, cudnn.benchmark = True, True
        measure()
        assert (cudnn.allow_tf32, cudnn.benchmark) == (False, False)


def test_other_judges_measure_anew(table, smoke, runs_folder, blind, quick, monkeypatch):
    known = module.weights_id
    monkeypatch.setattr(module, "weights_id", lambda name: "other" if name == "evaluator" else known(name))
    with pytest.raises(AssertionError, match="should have been kept"):
        Measurements(smoke, runs_folder).table(SCENARIO)


@pytest.fixture
def two(smoke):
    """The smoke profile with one row and a second scenario."""
    first = smoke.scenarios[SCENARIO]
    other = replace(first, target_text="fox", truth={"species": "fox", "style": "photo"})
    rows = {"L_dir": smoke.rows["L_dir"]}
    return replace(smoke, rows=rows, scenarios={SCENARIO: first, "dog-to-fox": other})


@pytest.mark.parametrize("measure", [Measurements.table, Measurements.course])
def test_all_scenarios_are_measured_one_after_the_other(two, runs_folder, measure):
    table = measure(Measurements(two, runs_folder))
    assert table["scenario"].unique().tolist() == [SCENARIO, "dog-to-fox"]
    for name, part in table.groupby("scenario"):
        alone = measure(Measurements(two, runs_folder), name)
        pd.testing.assert_frame_equal(part.reset_index(drop=True), alone)
    assert table.groupby("scenario")["fid"].last().nunique() == 2


def test_all_scenarios_have_bounds(two):
    frame = Measurements(two).bounds()
    assert frame["scenario"].tolist() == [SCENARIO] * 3 + ["dog-to-fox"] * 3
    assert frame["lpips_all"][0] == frame["lpips_all"][3]  # one source
    assert frame["fid"][0] != frame["fid"][3]
    with pytest.raises(ValueError, match="scenario='dog-to-bear' is unknown"):
        Measurements(two).bounds("dog-to-bear")


def test_the_device_is_kept(two, tmp_path, monkeypatch):
    """Through judges, curves and the runs that are missing."""
    asked = []

    def spy(module, name):
        known = getattr(module, name)

        def call(*arguments, **options):
            if name != "load_generator" or len(arguments) + len(options) > 1:  # not for its resolution alone
                asked.append((name, options.get("device", arguments[-1])))
            return known(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    device = torch.device("cpu", 0)
    for where, names in (
        (module, ("run", "load_clip", "load_generator", "load_judges")),
        (tables, ("load_evaluator", "load_generator")),
        (runs, ("make",)),
    ):
        for name in names:
            spy(where, name)
    one = replace(two, scenarios={SCENARIO: two.scenarios[SCENARIO]}, samples=8)
    measurements = Measurements(one, tmp_path, device)
    for table in (measurements.course, measurements.table, measurements.bounds):
        table()
    generator_quality("dog", one.scenarios[SCENARIO].truth, 8, device=device)
    made = [place for name, place in asked if name == "make"]
    assert len(made) == 1  # it was missing
    others = {place for name, place in asked if name != "make"}
    assert others == {device} and len(asked) > 5
    assert [name for name, _ in asked].count("load_judges") == 1


def test_the_course_has_every_snapshot(curves, smoke, full_run):
    assert set(curves.columns) == {"scenario", "row", "seed", "step", "n", *MEASURED}
    assert curves["row"].tolist() == [row for row in smoke.rows for _ in range(5)]
    assert curves["step"].tolist() == [0, 1, 2, 3, 4] * 2 and (curves["n"] == 12).all()
    start = curves[curves["step"] == 0].drop(columns="row")
    assert (start.iloc[0] == start.iloc[1]).all()  # the source generator is the same for all
    assert curves["sse"].nunique() == 9


def test_the_sum_of_squared_errors_is_that_of_fig_3a(curves, full_run):
    clip = load_clip("clip-a")
    line = curves[(curves["row"] == "L_dm + L_EWC + L_rel")].set_index("step")["sse"]
    for step in (0, 2, 4):
        images = sample_images(full_run.generator(step), 12, seed=module.SAMPLES_SEED, truncation_psi=1.0)
        features = clip.encode_images(images).double()
        expected = ((features - features.mean(0)) ** 2).sum().item()
        assert line[step] == pytest.approx(expected, rel=1e-4)


def test_factors_are_held_against_the_ideal_answers(smoke, runs_folder, full_run, judges):
    frame = Measurements(smoke, runs_folder).factors(SCENARIO)
    assert frame.columns.tolist() == ["scenario", "row", "seed", "n", "factor", "kept", "error", "chance"]
    assert frame["row"].unique().tolist() == ["source, not adapted", *smoke.rows]
    assert frame.groupby("row")["factor"].apply(set).map(len).unique().tolist() == [6 + len(CONTINUOUS)]
    latents = sample_latents(12, 64, module.SAMPLES_SEED)
    evaluator = judges.eyes
    ideal = evaluator(ideal_answers(latents, "cat")[:])
    images = sample_images(full_run.generator(), 12, seed=module.SAMPLES_SEED, truncation_psi=1)
    expected = report(evaluator(images), ideal, evaluator(judges.truth.images(12, 64, fresh=True)[:]))
    found = frame[frame["row"] == "L_dm + L_EWC + L_rel"].set_index("factor")[expected.columns]
    pd.testing.assert_frame_equal(found, expected.loc[found.index], rtol=1e-3, atol=1e-4)
    source = frame[frame["row"] == "source, not adapted"].set_index("factor")
    assert (
        source.loc["species", "error"] == 1 and source.loc["yaw", "error"] < source.loc["yaw", "chance"] / 2
    )


def test_no_ideal_answer_without_a_species(smoke, tmp_path):
    cats = replace(smoke.scenarios[SCENARIO], truth={"style": "sketch"}, generator="generator-dog")
    bench = module.Bench(replace(smoke, scenarios={SCENARIO: cats}), SCENARIO, tmp_path)
    found = bench.factors.of(bench.embedding(bench.source(4, 1.0)))  # dogs, by the generator's name
    assert found.loc["species", "error"] == 0 and found.loc["style", "error"] == 1
    own = tmp_path / "own.safetensors"
    shutil.copy(manifest.path("generator-dog"), own)
    other = replace(smoke, scenarios={SCENARIO: replace(cats, generator=str(own))})
    assert module.Bench(other, SCENARIO, tmp_path).factors is None
    with pytest.raises(ValueError, match="no ideal answer is known without a species"):
        Measurements(other, tmp_path).factors()


def test_each_image_adds_up_to_the_columns(smoke, runs_folder, full_run):
    """At the end and at the start, where lpips_all is known too."""
    bench = module.Bench(smoke, SCENARIO, runs_folder)
    for measured in (bench.at(full_run), bench.at(full_run, 0)):
        names = {"evaluator_rate", "clip_rate", "clip_score", "clip_variance", "lpips_all"}
        assert names == set(measured.each)
        for name, values in measured.each.items():
            mean = pytest.approx(measured.columns[name], rel=1e-5)
            assert len(values) == 12 and sum(values) / 12 == mean, name


def test_a_snapshot_has_diversity_and_factors_beside_adaptation(curves, smoke, runs_folder, full_run, judges):
    path = curves[curves["row"] == "L_dm + L_EWC + L_rel"].set_index("step")
    images = sample_images(full_run.generator(2), 12, seed=module.SAMPLES_SEED, truncation_psi=1)
    source = sample_images(load_generator("dog"), 12, seed=module.SAMPLES_SEED, truncation_psi=1)
    line, evaluator = path.loc[2], judges.eyes
    expected = judges.everything(judges.look(images), {"eyes": evaluator.embed(source)})
    assert line[list(expected)].to_dict() == pytest.approx(expected, rel=1e-4)
    read, truth = evaluator(images), evaluator(judges.truth.images(12, 64, fresh=True)[:])
    ideal = evaluator(ideal_answers(sample_latents(12, 64, module.SAMPLES_SEED), "cat")[:])
    ratio = read.continuous.std(0, correction=0) / truth.continuous.std(0, correction=0)
    assert line["factors_kept"] == pytest.approx(ratio.mean().item(), rel=1e-3)
    away = (read.continuous - ideal.continuous).square().mean(0).sqrt()
    pairs = read.continuous[:, None] - ideal.continuous[None]
    by_chance = pairs.square().mean((0, 1)).sqrt()
    assert line["ideal_distance"] == pytest.approx((away / by_chance).mean().item(), rel=1e-3)


def test_directions_are_those_of_the_guide_and_of_the_judge(smoke, runs_folder, full_run):
    """Of images by the first of the guiding CLIPs, and by the judging one; unknown of truncated images."""
    profile = replace(smoke, measures=("aim",))
    found = module.Bench(profile, SCENARIO, runs_folder).at(full_run).columns
    latents = sample_latents(12, 64, module.SAMPLES_SEED)
    images = [load_generator("dog"), full_run.generator()]
    images = [sample_images(one, 12, seed=module.SAMPLES_SEED, truncation_psi=1) for one in images]
    images.append(ideal_answers(latents, "cat")[:])
    for by, name in (("guide", full_run.config.clips[0]), ("judge", smoke.judge)):
        clip = load_clip(name)
        before, after = clip.encode_texts(["dog", "cat"], smoke.settings["templates"])
        expected = aim(after - before, *(clip.encode_images(one) for one in images))
        assert [found[f"{by}_{part}"] for part in expected._fields] == pytest.approx(expected, rel=1e-3)
    truncated = module.Bench(replace(profile, truncation_psi=0.7), SCENARIO, runs_folder).at(full_run).columns
    assert truncated.keys() == found.keys() and math.isnan(truncated["guide_ahead"])


def test_factors_are_not_read_in_truncated_images(smoke, runs_folder, full_run, quick):
    """The ideal answers are drawn from the whole latents."""
    truncated = replace(smoke, truncation_psi=0.7)
    columns = module.Bench(truncated, SCENARIO, runs_folder).at(full_run).columns
    assert all(math.isnan(columns[name]) for name in LEFT)
    assert all(columns[name] >= 0 for name in ("sse", "fid", "recall", "lpips_avg", "identity_kept"))


def test_the_table_is_the_end_of_the_course(table, curves, smoke):
    ends = curves.groupby("row", sort=False).tail(1).reset_index(drop=True)
    assert ends["row"].tolist() == list(smoke.rows) and (ends["step"] == table["iterations"]).all()
    shared = [name for name in table.columns if name in curves.columns]
    assert {*MEASURED, "n", "seed"} < set(shared)
    pd.testing.assert_frame_equal(ends[shared], table[shared], check_exact=True)


@pytest.fixture
def made(full_run, monkeypatch):
    """Number of images that were made of each snapshot of the finished run, as they are counted."""
    found, known = Counter(), module.Samples.__getitem__

    def weights(generator):  # of a layer that the run trains
        return tuple(generator.synthesis.convolutions[-1].weight.flatten().tolist())

    steps = {weights(full_run.generator(step)): step for step in full_run.snapshots}
    assert len(steps) == len(full_run.snapshots)

    def count(self, part):
        images = known(self, part)
        if (step := steps.get(weights(self.generator))) is not None:
            found[step] += len(images)
        return images

    monkeypatch.setattr(module.Samples, "__getitem__", count)
    return found


@pytest.fixture
def one_row(smoke):
    """The smoke profile with the finished run alone, measured on so few images as no other test takes."""
    name = "L_dm + L_EWC + L_rel"
    return replace(smoke, rows={name: smoke.rows[name]}, samples=7)


def test_tables_make_the_images_of_a_step_once(one_row, full_run, tmp_path, quick, made):
    """Whichever comes first."""
    for folder, first, second in (
        ("a", Measurements.table, Measurements.course), ("b", Measurements.course, Measurements.table)
    ):  # fmt: skip
        shutil.copytree(full_run.folder, tmp_path / folder / full_run.folder.name)
        made.clear()
        measurements = Measurements(one_row, tmp_path / folder)
        first(measurements)
        assert made[full_run.iterations] == 7 + 1  # the first image tells the size
        second(measurements)
        measurements.factors()
        assert made == dict.fromkeys(full_run.snapshots, 7 + 1)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_was_all_measured_is_only_read(two, full_run, tmp_path, monkeypatch, workers):
    """Every scenario and row."""
    few = replace(two, samples=6, overrides={"optimiser": {"iterations": 1}})
    run_all([few.config(place, "L_dir") for place in few.scenarios], folder=tmp_path)
    measure_all(few, tmp_path, workers=workers)

    def fail(*args, **kwargs):
        raise AssertionError("this should have been kept")

    with monkeypatch.context() as patch:  # what is there is seen without a process or a network
        for name in ("load_judges", "load_clip", "load_generator"):
            patch.setattr(module, name, fail)
        patch.setattr(measuring, "worker_pool", fail)
        measure_all(few, tmp_path, workers=workers)
    monkeypatch.setattr(module.Samples, "__getitem__", fail)
    monkeypatch.setattr(runs, "make", fail)
    measurements = Measurements(few, tmp_path)
    assert measurements.table()["scenario"].tolist() == list(few.scenarios)
    assert measurements.course()["step"].tolist() == [0, 1] * 2
    assert measurements.factors()["scenario"].unique().tolist() == list(few.scenarios)


def test_one_worker_loads_the_judges_of_a_scenario_once(smoke, tmp_path, monkeypatch):
    rows = {"one": {"terms": {"directional": 1}}, "other": {"terms": {"directional": 2}}}
    few = replace(smoke, rows=rows, samples=6, clusters=2, overrides={"optimiser": {"iterations": 1}})
    loaded, load_judges = [], module.load_judges

    def counted(profile, scenario, device):
        loaded.append(scenario)
        return load_judges(profile, scenario, device)

    monkeypatch.setattr(module, "load_judges", counted)
    measure_all(few, tmp_path)
    assert loaded == [SCENARIO]
    monkeypatch.setattr(module.Samples, "__getitem__", None)  # all is kept
    assert Measurements(few, tmp_path).course().groupby("row")["step"].agg(list).tolist() == [[0, 1]] * 2


def test_bounds_are_those_of_no_adaptation_and_a_perfect_one(smoke, judges):
    frame = Measurements(smoke).bounds(SCENARIO)
    assert set(frame.columns) == {"scenario", "row", "psi", "n", *DIVERSITY, *ADAPTATION, *KEPT}
    rows = ["source, not adapted", "source, ψ = 0.7", "true target"]
    assert frame["row"].tolist() == rows and (frame["n"] == 12).all()
    assert frame["psi"][:2].tolist() == [1.0, 0.7] and frame["psi"].isna()[2]
    source = sample_images(load_generator("dog"), 12, seed=module.SAMPLES_SEED, truncation_psi=1.0)
    assert frame["fid"][0] == pytest.approx(judges.adaptation(judges.look(source))["fid"])
    assert frame["identity_kept"][0] == pytest.approx(1) and frame["structure_kept"][0] == pytest.approx(1)
    assert frame["structure_kept"][1] < 1 and frame[KEPT].isna().iloc[2].all()
    assert 0.01 < frame["fid"][2] < frame["fid"][0]  # fresh true images: not zero


@pytest.fixture
def unseen(smoke):
    """The smoke profile without any true image, with one row that hardly does anything."""
    scenario = replace(smoke.scenarios[SCENARIO], truth={})
    return replace(smoke, rows={"L_dir": smoke.rows["L_dir"]}, scenarios={SCENARIO: scenario})


def test_without_true_images_all_that_needs_none_is_measured(unseen, table, curves, runs_folder):
    unknown, cats = (
        ["evaluator_rate", *CLOSENESS, *LEFT],
        {f"inception_{kind}" for kind in ("species", "style")},
    )
    measurements = Measurements(unseen, runs_folder)
    found = measurements.table(SCENARIO)
    assert set(found.columns) == {*table.columns, *cats}  # what the target fixes, if anybody knew
    rest = [column for column in table.columns if column not in unknown]
    pd.testing.assert_frame_equal(found[rest], table[:1][rest])
    path = measurements.course(SCENARIO)
    rest = [column for column in curves.columns if column not in unknown]
    pd.testing.assert_frame_equal(path[rest], curves[:5][rest])
    sources = measurements.bounds(SCENARIO)
    assert sources["row"].tolist() == ["source, not adapted", "source, ψ = 0.7"]
    for frame in (found, path):
        assert frame[unknown].isna().all(axis=None)
    assert sources[["evaluator_rate", *CLOSENESS]].isna().all(axis=None)
    main = table_1(found, sources, "here")
    assert (main.loc["L_dir", ["FID", "KID", "coverage", "target rate, evaluator"]] == "–").all()
    assert "true target" not in main.index and main.loc["L_dir", "here Avg."][0].isdigit()
    assert metrics_table(found, sources).loc["L_dir", ["precision", "recall"]].eq("–").all()
    with pytest.raises(ValueError, match="no ideal answer is known without a species in its truth"):
        measurements.factors(SCENARIO)


def test_provenance_names_everything(smoke, runs_folder, full_run, table):
    record = Measurements(smoke, runs_folder).provenance(SCENARIO)
    assert json.loads(json.dumps(record)) == record
    assert record["profile"] == "smoke" and record["scenario"] == SCENARIO and record["seeds"] == [0]
    assert list(record["runs"]) == ["L_dir, seed 0", "L_dm + L_EWC + L_rel, seed 0"]
    assert record["runs"]["L_dm + L_EWC + L_rel, seed 0"] == full_run.folder.name
    assert set(record["weights"]) == {"generator-dog", "clip-a", "clip-c", "clip-b", "evaluator"}
    assert record["settings"]["samples"] == 12
