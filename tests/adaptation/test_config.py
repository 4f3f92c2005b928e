import re
from dataclasses import asdict, replace
from typing import get_args

import pytest

from zsgan.adaptation.config import AdaptConfig, Term, build, merge, override
from zsgan.adaptation.rival_settings import Selection
from zsgan.adaptation.terms import KINDS
from zsgan.base.settings import check_texts, names_of
from zsgan.method.losses import CovarianceReading
from zsgan.runs.scenario import Scenario

PLACE = {"generator": "generator-dog", "source_text": "dog", "target_text": "cat"}

SHOTS = {"few_shot.target": {"species": "cat"}, "terms": {}}

# Printed numbers, with the section that has them.
PAPER = {
    "clips": ("ViT-B-32/openai",),  # 4.1: CLIP ViT-B/32
    "terms": {"moment": 1.0, "ewc": 1e7, "relation": 1e2},  # eq. (6) and 4.1: the full method
    "stage1.n_variations": 6,  # 4.1: K = 6
    "stage1.epsilon": None,  # 4.1: the norm of the target text's feature
    "stage1.lambda_div": 1.0,  # 4.1, eq. (2)
    "stage1.iterations": 2000,  # 4.1
    "stage1.lr": 0.002,  # 4.1
    "moment.lambda_cov": 1e3,  # 4.1, eq. (3)
    "optimiser.batch_size": 4,  # 4.1: N = 4
    "optimiser.lr": 0.002,  # 4.1: Adam
    "optimiser.betas": (0.0, 0.99),  # 4.1: Adam
    "optimiser.iterations": 2000,  # span of Fig. 3a
    # As printed in eq. (3) and left alone by default:
    "stage1.renormalise": False,
    "moment.centre": False,
    "moment.normalise_directions": False,
    # Not in the paper, and off:
    "optimiser.ema": None,
    "selection": None,
    "shared_noise": False,
}


@pytest.fixture
def config():
    return AdaptConfig(**PLACE)


def value_of(config, name):
    for part in name.split("."):
        config = config[part] if isinstance(config, dict) else getattr(config, part)
    return config


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_numbers_are_the_defaults(config, name):
    assert value_of(config, name) == PAPER[name]
    assert type(value_of(config, name)) is type(PAPER[name])


def test_every_setting_but_the_domains_has_a_default():
    with pytest.raises(ValueError, match="needs generator; .*needs source_text; .*needs target_text; add it"):
        build(AdaptConfig, {})


def test_every_term_is_known_to_the_objective():
    assert list(KINDS) == list(get_args(Term))


def test_settings_have_dotted_names(config):
    assert {"generator", "moment.lambda_cov", "selection.k", "optimiser.betas"} <= set(names_of(AdaptConfig))
    groups = {"stage1", "features", "moment", "ewc", "relation", "optimiser"}
    assert not groups & set(names_of(AdaptConfig))
    assert {name.split(".")[0] for name in names_of(AdaptConfig)} == set(asdict(config))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("terms.ewc", "1e4", 1e4), ("terms.ewc", 0, 0.0), ("optimiser.lr", "5e-4", 5e-4),
        ("stage1.epsilon", "0.5", 0.5), ("stage1.epsilon", None, None), ("optimiser.iterations", "300", 300),
        ("optimiser.iterations", "2e3", 2000), ("optimiser.iterations", 40.0, 40),
        ("moment.centre", True, True),
        ("clips", "clip-a", ("clip-a",)), ("clips", ["clip-a", "clip-b"], ("clip-a", "clip-b")),
        ("templates", "a photo of a {}", ("a photo of a {}",)), ("optimiser.betas", [0, "9e-1"], (0.0, 0.9)),
        ("target_text", " grey cat ", "grey cat"), ("optimiser.ema", "0.9", 0.9), ("seed", "3", 3),
        ("selection.k", 3, 3), ("terms", {"directional": 1}, {"directional": 1.0}),
    ],
)  # fmt: skip
def test_values_are_read_from_yaml_and_text(config, name, text, value):
    read = value_of(override(config, {name: text}), name)
    assert read == value and type(read) is type(value)
    if isinstance(value, tuple):
        assert [type(part) for part in read] == [type(part) for part in value]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lambda_foo": 1}, "setting 'lambda_foo' is unknown; the closest: .*moment.lambda_cov"),
        ({"lr": 1}, "setting 'lr' is unknown; the closest: stage1.lr, optimiser.lr, ipl.lr$"),
        ({"moment.foo": 1}, "setting 'moment.foo' is unknown"),
        ({"moment.scale.foo": 1}, "moment.scale={'foo': 1}: Input should be 'sum' or 'n'"),
        ({"moment": 3}, "moment=3: Input should be a dictionary"),
        ({"terms.foo": 1}, "terms.foo is no such name: choose one of .directional., .moment."),
        ({"terms": {"moment": 0}}, "no loss of positive weight"),
        ({"terms": {}}, "no loss of positive weight"),
        ({"terms.ewc": -1}, "terms.ewc=-1: Input should be greater than or equal to 0"),
        ({"terms.ewc": float("inf")}, "terms.ewc=inf: Input should be a finite number"),
        ({"optimiser.iterations": "many"}, "optimiser.iterations='many': "),
        ({"optimiser.iterations": "1.5"}, "optimiser.iterations=1.5: .*fractional part"),
        ({"optimiser.iterations": True}, "optimiser.iterations=True: a number expected"),
        ({"optimiser.iterations": 0}, "optimiser.iterations=0: .*greater than or equal to 1"),
        ({"optimiser.lr": 0}, "optimiser.lr=0: .*greater than 0"),
        ({"optimiser.lr": "1e300"}, "optimiser.lr='1e300': .* the range of float32"),
        ({"optimiser.lr": 1e-300}, "optimiser.lr=1e-300: .* the range of float32"),
        ({"terms.ewc": "１e4"}, "terms.ewc='１e4': a number expected, in the digits 0 to 9"),
        ({"seed": "１"}, "seed='１': a number expected, in the digits 0 to 9"),
        ({"seed": "0x10"}, "seed='0x10': a number expected"),
        ({"seed": -1}, "seed=-1: .*greater than or equal to 0"),
        ({"seed": 2**63}, "seed=9223372036854775808: .*less than 9223372036854775808"),
        ({"stage1.seed": "100000000000000000000"}, "stage1.seed=100000000000000000000: .*less than"),
        ({"optimiser.batch_size": 10**6}, "optimiser.batch_size=1000000: .*less than or equal to 65536"),
        (
            {"optimiser.iterations": 10**9},
            "optimiser.iterations=1000000000: .*less than or equal to 10000000",
        ),
        ({"features.crops": 5000}, "features.crops=5000: .*less than or equal to 1024"),
        ({"optimiser.betas": [0.5, 1.0]}, "optimiser.betas.1=1.0: .*less than 1"),
        ({"optimiser.betas": 0.9}, "optimiser.betas=0.9: .*tuple"),
        ({"optimiser.ema": 1}, "optimiser.ema=1: .*less than 1"),
        ({"stage1.epsilon": float("nan")}, "stage1.epsilon=nan: .*finite"),
        ({"stage1.n_variations": 1}, "stage1.n_variations=1: .*greater than or equal to 2"),
        ({"stage1.start": "warm"}, "stage1.start='warm': .*'random', 'closed_form' or 'captions'"),
        ({"moment.lambda_cov": float("nan")}, "moment.lambda_cov=nan: .*finite"),
        ({"moment.centre": "perhaps"}, "moment.centre='perhaps': .*boolean"),
        ({"moment.centre": 1}, "moment.centre=1: .*boolean"),
        ({"moment.distance": "l1"}, "moment.distance='l1': .*'frobenius'"),
        ({"relation.temperature": 0}, "relation.temperature=0: .*greater than 0"),
        ({"relation.reduction": "sum"}, "relation.reduction='sum': .*'batchmean' or 'mean'"),
        ({"ewc.estimator": "exact"}, "ewc.estimator='exact': .*'empirical', 'batch'"),
        ({"ewc.granularity": "row"}, "ewc.granularity='row': .*'element' or 'layer'"),
        ({"trained": "all"}, "trained='all': .*'convolutions'"),
        ({"selection.iterations": 2}, "AdaptConfig needs selection.k; add it"),
        ({"selection.k": 3, "selection.layer_map": "x"}, "selection.layer_map='x': .*'corrected'"),
        ({"target_text": 3}, "target_text=3: .*string; put a text of digits in quotes"),
        ({"target_text": " "}, "target_text=' ': .*at least 1 character"),
        ({"target_text": "dog"}, "source_text='dog' and target_text='dog' are the same"),
        ({"templates": ["a photo of a {}", "b"]}, "templates: 'b' has no {} where the text goes"),
        ({"clips": []}, r"clips=\[\]: .*at least 1 item"),
        ({"optimiser.batch_size": 1}, "batch_size=1 is too small for the term 'relation', which needs 2"),
        ({"optimiser.batch_size": 2, "relation.diagonal": False}, "'relation', which needs 3 images"),
        ({"terms": {"in_domain_angle": 1}, "optimiser.batch_size": 1}, "'in_domain_angle', which needs 2"),
        ({"few_shot.images": 5, "terms": {}}, "AdaptConfig needs few_shot.target; add it"),
        (
            {"few_shot.target": {"species": "cat"}},
            "few_shot adapts to images, but terms={'moment'.*terms: {}",
        ),
        ({**SHOTS, "optimiser.stop_at_plateau": True}, "stop_at_plateau=True needs the term 'directional'"),
        (
            {"terms": {"ewc": 1, "relation": 1}, "optimiser.stop_at_plateau": True},
            "stop_at_plateau=True needs .* got {'ewc': 1.0, 'relation': 1.0}; give a number of iterations",
        ),
        ({**SHOTS, "ipl": {}}, "few_shot adapts to images, but .*ipl=Ipl.*give terms: {} alone"),
        ({**SHOTS, "selection.k": 2}, "few_shot adapts to images, but .*Selection.*give terms: {} alone"),
        ({**SHOTS, "few_shot.distance_batch": 2}, "distance_batch=2: .*greater than or equal to 3"),
        ({**SHOTS, "few_shot.mixing": 1.5}, "few_shot.mixing=1.5: .*less than or equal to 1"),
        ({**SHOTS, "few_shot.patch_level": -1}, "few_shot.patch_level=-1: .*greater than or equal to 0"),
        ({**SHOTS, "few_shot.r1_every": 0}, "few_shot.r1_every=0: .*greater than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused(config, changes, message):
    with pytest.raises(ValueError, match=message) as caught:
        override(config, changes)
    assert "pydantic" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("dog", "Dog"), ("grey cat", " grey\t CAT\n"), ("caf\u00e9", "cafe\u0301"),
        ("dog", "\uff44\uff4f\uff47"),
        ("dog", "do\u200bg\ufeff"), ("stra\u00dfe", "STRASSE"), ("grey cat", "grey\u00a0cat"),
    ],
)  # fmt: skip
def test_texts_that_differ_in_their_spelling_alone_are_the_same(source, target):
    with pytest.raises(ValueError, match=re.escape(f"source_text={source!r} and target_text={target!r} are")):
        check_texts(source, target)
    with pytest.raises(ValueError, match="are the same: there is no direction to follow; name another"):
        AdaptConfig(generator="dog", source_text=source, target_text=target)
    with pytest.raises(ValueError, match="are the same: there is no direction to follow; name another"):
        Scenario(generator="dog", source_text=source, target_text=target)
    check_texts(source, f"sketch of a {source}")


def test_large_seeds_are_exact_and_switches_take_yes_and_no(config):
    assert override(config, {"seed": str(2**63 - 1)}).seed == 2**63 - 1
    assert override(config, {"shared_noise": "yes", "moment.centre": "OFF"}).shared_noise is True
    assert override(config, {"moment.centre": "on"}).moment.centre is True


def test_an_unknown_setting_is_answered_with_few_names_nearest_first(config):
    with pytest.raises(ValueError, match="'optimser.lrr' is unknown; the closest: optimiser.lr, ") as caught:
        build(AdaptConfig, {**asdict(config), "optimser.lrr": 1})
    said = str(caught.value).split("the closest: ")[1]
    assert said.count(",") == 8 and said.endswith(
        f"and {len(names_of(AdaptConfig)) - 8} others, which zsgan.adaptation.config explains"
    )


def test_a_batch_of_one_needs_no_relation(config):
    changed = override(config, {"optimiser.batch_size": 1, "terms.relation": 0})
    assert changed.optimiser.batch_size == 1 and changed.weights == {"moment": 1.0, "ewc": 1e7}


def test_override_leaves_the_original_and_the_rest_of_a_group(config):
    changed = override(config, {"moment": {"scale": "sum"}, "terms.ewc": 5, "seed": 3})
    assert changed.moment == replace(config.moment, scale="sum") and changed.moment.lambda_cov == 1e3
    assert changed.terms == {"moment": 1.0, "ewc": 5.0, "relation": 1e2}
    assert replace(changed, moment=config.moment, terms=config.terms, seed=0) == config
    assert config.seed == 0 and config.moment.scale == "n"


def test_groups_are_merged_but_terms_are_replaced():
    base = {"terms": {"moment": 1, "ewc": 2}, "moment": {"lambda_cov": 1, "centre": True}, "seed": 0}
    new = {"terms": {"directional": 1}, "moment": {"lambda_cov": 2}, "selection": {"k": 1}}
    assert merge(base, new) == {
        "terms": {"directional": 1}, "moment": {"lambda_cov": 2, "centre": True}, "seed": 0,
        "selection": {"k": 1},
    }  # fmt: skip
    assert base["terms"] == {"moment": 1, "ewc": 2} and base["moment"] == {"lambda_cov": 1, "centre": True}


def test_dotted_names_go_over_groups_and_the_later_settings_over_the_earlier():
    base = {"terms": {"moment": 1, "ewc": 2}, "moment": {"lambda_cov": 1}, "few_shot": None, "seed": 0}
    dotted = {"terms.my.file.py:loss": 3, "moment.lambda_cov": 5, "moment": {"lambda_cov": 4, "centre": True}}
    assert merge(base, dotted, {"seed": 1}, {"seed": 2}) == {
        "terms": {"moment": 1, "ewc": 2, "my.file.py:loss": 3}, "moment": {"lambda_cov": 5, "centre": True},
        "few_shot": None, "seed": 2,
    }  # fmt: skip
    labels = {"few_shot.target.species": "cat", "few_shot.target.style": "sketch", "few_shot.images": 5}
    shots = merge(base, labels)["few_shot"]
    assert shots == {"target": {"species": "cat", "style": "sketch"}, "images": 5}
    assert merge(shots, {"target.folder": "cats"}) == {"target": {"folder": "cats"}, "images": 5}


def test_a_configuration_survives_being_written_down(config):
    with_selection = override(config, {"selection.k": 3})
    assert with_selection.selection == Selection(3)
    for original in (config, with_selection, override(config, SHOTS)):
        assert build(AdaptConfig, asdict(original)) == original


def test_the_numbers_of_the_10_shot_code_are_its_defaults(config):
    """train.py of the published code; the settings beside these are on StyleGAN2's usual values."""
    shots = override(config, SHOTS).few_shot
    assert (shots.images, shots.lambda_distance, shots.distance_batch) == (10, 1000, 4)
    assert (shots.anchor_every, shots.anchor_deviation, shots.mixing) == (4, 0.1, 0.9)
    assert (shots.lambda_r1, shots.r1_every, shots.lambda_path, shots.path_every) == (10, 16, 2, 4)


def test_another_target_takes_the_place_of_the_old_one(config):
    other = override(override(config, SHOTS), {"few_shot.target": {"folder": "cats"}, "few_shot.images": 5})
    assert other.few_shot.target == {"folder": "cats"} and other.few_shot.images == 5


def test_the_covariance_is_read_from_its_settings(config):
    changed = override(config, {"moment": {"centre": True, "scale": "sum", "distance": "frobenius"}})
    assert changed.moment.covariance == CovarianceReading(True, "sum", "frobenius")


@pytest.mark.parametrize("value", [{"iterations": "5"}, {"clips": 3}])
def test_the_constructor_checks_too(value):
    with pytest.raises(ValueError, match=next(iter(value))):
        AdaptConfig(**PLACE, **value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "captions"}, "start='captions' and attributes=.* do not fit"),
        ({"attributes": ["white {}"] * 6}, "start='random' and attributes=.* do not fit"),
        ({"start": "captions", "attributes": ["white {}", "old {}"]}, "n_variations=6 must be the number"),
        ({"start": "captions", "attributes": ["white", "{}"], "n_variations": 2}, "'white' has no {}"),
    ],
)
def test_attributes_belong_to_captions(config, changes, message):
    with pytest.raises(ValueError, match=message):
        override(config, {"stage1": changes})
