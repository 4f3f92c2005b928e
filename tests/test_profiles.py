from dataclasses import MISSING, fields, replace

import pytest

from zsgan.clip import imagenet_templates
from zsgan.losses import CovarianceReading
from zsgan.profiles import AdaptConfig, Scenario, build, load_profile, override

PLACE = {"generator": "generator-dog", "source_text": "dog", "target_text": "cat"}

# Printed numbers, with the section that has them.
PAPER = {
    "clips": ("ViT-B-32/openai",),  # 4.1: CLIP ViT-B/32
    "n_variations": 6,  # 4.1: K = 6
    "epsilon": None,  # 4.1: the norm of the target text's feature
    "lambda_div": 1.0,  # 4.1, eq. (2)
    "variation_iterations": 2000,  # 4.1
    "variation_lr": 0.002,  # 4.1
    "lambda_cov": 1e3,  # 4.1, eq. (3)
    "lambda_ewc": 1e7,  # 4.1, eq. (4)
    "lambda_rel": 1e2,  # 4.1, eq. (5)
    "batch_size": 4,  # 4.1: N = 4
    "lr": 0.002,  # 4.1: Adam
    "betas": (0.0, 0.99),  # 4.1: Adam
    "iterations": 2000,  # span of Fig. 3a
    "direction": "moment",  # eq. (6), the full method
    # As printed in eq. (3) and left alone by default:
    "renormalise_variations": False,
    "covariance_centre": False,
    "normalise_directions": False,
}


@pytest.fixture
def config():
    return AdaptConfig(**PLACE)


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_numbers_are_the_defaults(config, name):
    assert getattr(config, name) == PAPER[name]
    assert type(getattr(config, name)) is type(PAPER[name])


def test_every_setting_but_the_domains_has_a_default():
    assert [f.name for f in fields(AdaptConfig) if f.default is MISSING] == list(PLACE)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("lambda_ewc", "1e4", 1e4), ("lambda_ewc", 0, 0.0), ("lr", "5e-4", 5e-4), ("epsilon", "0.5", 0.5),
        ("epsilon", "null", None), ("epsilon", None, None), ("iterations", "300", 300),
        ("iterations", "2e3", 2000),
        ("iterations", 40.0, 40), ("covariance_centre", "true", True), ("covariance_centre", "false", False),
        ("relation_diagonal", False, False), ("clips", "menagerie-a", ("menagerie-a",)),
        ("clips", "[menagerie-a, menagerie-b]", ("menagerie-a", "menagerie-b")), ("clips", ["x"], ("x",)),
        ("templates", "a photo of a {}", ("a photo of a {}",)), ("betas", "[0.5, 0.9]", (0.5, 0.9)),
        ("betas", [0, "9e-1"], (0.0, 0.9)), ("target_text", "grey cat", "grey cat"),
    ],
)  # fmt: skip
def test_values_are_read_from_text(config, name, text, value):
    read = getattr(override(config, {name: text}), name)
    assert read == value and type(read) is type(value)
    if isinstance(value, tuple):
        assert [type(part) for part in read] == [type(part) for part in value]
    assert getattr(build(AdaptConfig, {**PLACE, name: text}), name) == value


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lambda_foo": 1}, "setting='lambda_foo' is unknown; choose one of generator, .*lambda_ewc"),
        ({"iterations": "many"}, "iterations='many' cannot be read as <class 'int'>"),
        ({"iterations": "1.5"}, "iterations='1.5' .* a whole number expected"),
        ({"iterations": "inf"}, "iterations='inf' cannot be read"),
        ({"iterations": True}, "iterations=True .* a whole number expected"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
        ({"lambda_ewc": "-1"}, "lambda_ewc must be finite and at least 0, got -1.0"),
        ({"lambda_cov": "nan"}, "lambda_cov must be finite and at least 0, got nan"),
        ({"lr": 0}, "lr must be finite and above 0, got 0"),
        ({"relation_temperature": 0}, "relation_temperature must be finite and above 0"),
        ({"epsilon": -1.0}, "epsilon must be finite and above 0, got -1.0"),
        ({"epsilon": float("nan")}, "epsilon must be finite"),
        ({"lambda_cov": float("inf")}, "lambda_cov must be finite and at least 0, got inf"),
        ({"betas": "[0.5, 1.0]"}, r"betas must be two numbers in \[0, 1\)"),
        ({"n_variations": 1}, "n_variations must be at least 2, got 1"),
        ({"covariance_scale": "n-1", "batch_size": 1, "lambda_rel": 0}, "batch_size must be at least 2"),
        ({"betas": "[0, 0.99"}, r"betas='\[0, 0.99' cannot be read"),
        ({"templates": "[a photo of a {}, b]"}, "templates=.* cannot be read"),
        ({"betas": "0.9"}, r"betas must be two numbers in \[0, 1\), got \(0.9,\)"),
        ({"covariance_centre": "perhaps"}, "covariance_centre='perhaps' .*true or false expected"),
        ({"covariance_centre": 1}, "covariance_centre=1 .*true or false expected"),
        ({"target_text": 3}, "target_text=3 .*text expected"),
        ({"direction": "sideways"}, "direction='sideways' is unknown; choose one of directional, moment"),
        ({"variation_start": "warm"}, "variation_start='warm' is unknown; choose one of random, closed_form"),
        ({"trained": "all"}, "trained='all' is unknown; choose one of convolutions, convolutions_and_torgb"),
        (
            {"fisher_estimator": "exact"},
            "fisher_estimator='exact' is unknown; choose one of empirical, batch",
        ),
        ({"fisher_granularity": "row"}, "fisher_granularity='row' is unknown; choose one of element, layer"),
        ({"relation_reduction": "sum"}, "relation_reduction='sum' is unknown; choose one of batchmean, mean"),
        ({"covariance_scale": "m"}, "scale must be one of .*'sum'"),
        ({"covariance_distance": "l1"}, "distance must be one of .*'frobenius'"),
        ({"batch_size": 1}, "batch_size must be at least 2 .*lambda_rel=0"),
        ({"batch_size": 2, "relation_diagonal": False}, "batch_size must be at least 3 .*lambda_rel=0"),
        ({"clips": []}, "clips must name at least one model"),
    ],
)
def test_what_cannot_work_is_refused(config, settings, message):
    with pytest.raises(ValueError, match=message):
        override(config, settings)
    with pytest.raises(ValueError, match=message):
        build(AdaptConfig, {**PLACE, **settings})


def test_a_batch_of_one_needs_no_relation(config):
    assert override(config, {"batch_size": 1, "lambda_rel": 0}).batch_size == 1


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match="Scenario: .*missing.*'target_text'"):
        build(Scenario, {"generator": "dog", "source_text": "dog"})


def test_override_leaves_the_original(config):
    assert override(config, {"seed": "3"}) == replace(config, seed=3)
    assert config.seed == 0


def test_the_covariance_is_read_from_its_fields(config):
    changed = override(
        config, {"covariance_centre": True, "covariance_scale": "n-1", "covariance_distance": "mean_squared"}
    )
    assert changed.covariance == CovarianceReading(True, "n-1", "mean_squared")


def test_prompts(config):
    assert config.prompts == imagenet_templates() and len(config.prompts) == 79
    assert override(config, {"templates": "a {}"}).prompts == ("a {}",)


# Profiles


@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_a_profile_has_the_rows_of_table_1(name):
    profile = load_profile(name)
    assert profile.name == name
    assert list(profile.rows) == ["L_dir", "L_dm", "L_dm + L_EWC", "L_dm + L_EWC + L_rel"]
    assert next(iter(profile.scenarios)) == "dog-to-cat"
    losses = {}
    for row in profile.rows:
        config = profile.config("dog-to-cat", row, seed=2)
        assert (config.generator, config.source_text, config.target_text) == ("generator-dog", "dog", "cat")
        assert config.seed == 2 and config.clips == ("menagerie-a",) and profile.judge not in config.clips
        losses[row] = (config.direction, config.lambda_ewc > 0, config.lambda_rel > 0)
    assert losses == {
        "L_dir": ("directional", False, False),
        "L_dm": ("moment", False, False),
        "L_dm + L_EWC": ("moment", True, False),
        "L_dm + L_EWC + L_rel": ("moment", True, True),
    }


@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_the_rows_differ_in_their_losses_alone(name):
    """Same iterations, learning rate, batch and seeds for every row."""
    profile = load_profile(name)
    neutral = {"direction": "moment", "lambda_ewc": 0.0, "lambda_rel": 0.0}
    assert len({override(profile.config("dog-to-cat", row), neutral) for row in profile.rows}) == 1


def test_smoke_is_demo_with_less_work():
    smoke, demo = load_profile("smoke"), load_profile("demo")
    work = ("iterations", "fisher_samples", "variation_iterations")
    assert smoke.rows == demo.rows and smoke.scenarios == demo.scenarios
    for row in demo.rows:
        large, small = demo.config("dog-to-cat", row), smoke.config("dog-to-cat", row)
        assert replace(small, **{name: getattr(large, name) for name in work}) == large
        assert all(getattr(small, name) < getattr(large, name) for name in work)
    assert smoke.samples < demo.samples and len(smoke.seeds) < len(demo.seeds)


def test_unknown_names_are_answered_with_the_choices():
    profile = load_profile("smoke")
    with pytest.raises(ValueError, match="row='L_foo' is unknown; choose one of L_dir, L_dm, .*L_rel"):
        profile.config("dog-to-cat", "L_foo")
    with pytest.raises(ValueError, match="scenario='dog' is unknown; choose one of dog-to-cat"):
        profile.config("dog", "L_dir")
    with pytest.raises(ValueError, match="profile='tiny' is unknown; choose one of demo, .*smoke"):
        load_profile("tiny")


MINE = """
scenarios:
  dog-to-cat: {generator: generator-dog, source_text: dog, target_text: cat}
settings: {lr: 0.001, iterations: 5}
seeds: [0]
samples: 10
curve_samples: 10
judge: menagerie-b
"""


def test_a_profile_that_extends_another_says_what_differs(tmp_path, monkeypatch):
    (tmp_path / "large.yaml").write_text(MINE + "rows: {L_dir: {}, L_dm: {batch_size: 2}}\n")
    (tmp_path / "small.yaml").write_text("extends: large\nsettings: {iterations: 3}\nseeds: [1, 2]\n")
    monkeypatch.setattr("zsgan.profiles.PROFILES", tmp_path)
    large, small = load_profile("large"), load_profile("small")
    assert small == replace(large, name="small", settings={"lr": 0.001, "iterations": 3}, seeds=(1, 2))


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (MINE.replace("scenarios:", "# scenarios:").replace("  dog-to-cat", "#"), "scenarios, rows"),
        (MINE, "rows"),
        ("extends: empty\nsamples: 3", "scenarios, rows, seeds, curve_samples, judge"),
        ("", "scenarios, rows, settings, seeds, samples, curve_samples, judge"),
    ],
    ids=["scenarios", "rows", "extends", "all"],
)
def test_a_profile_that_lacks_entries_is_told_which(tmp_path, monkeypatch, text, missing):
    (tmp_path / "mine.yaml").write_text(text)
    (tmp_path / "empty.yaml").write_text("")
    monkeypatch.setattr("zsgan.profiles.PROFILES", tmp_path)
    with pytest.raises(
        ValueError, match=rf"mine\.yaml has no {missing}; a profile needs scenarios, .*extends: demo"
    ):
        load_profile("mine")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rows: {L_dir: {directoin: moment}}", "setting='directoin' is unknown"),
        ("rows: {L_dir: {iterations: 0}}", "iterations must be at least 1"),
        ("colour: red", "setting='colour' is unknown; choose one of name, scenarios, rows"),
    ],
)
def test_a_faulty_profile_is_refused_when_it_is_read(tmp_path, monkeypatch, line, message):
    rows = "" if line.startswith("rows") else "rows: {L_dir: {}}\n"
    (tmp_path / "mine.yaml").write_text(MINE + rows + line + "\n")
    monkeypatch.setattr("zsgan.profiles.PROFILES", tmp_path)
    with pytest.raises(ValueError, match=message):
        load_profile("mine")
