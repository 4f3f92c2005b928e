from dataclasses import replace

import pytest
import torch
from PIL import Image

from zsgan.adaptation.config import build, override
from zsgan.networks.load import load_discriminator
from zsgan.report.published import PAPER_TABLE_1
from zsgan.runs.identity import resolve
from zsgan.runs.profiles import PROFILES, load_profile
from zsgan.runs.scenario import Scenario


@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_a_profile_has_the_rows_of_table_1(name):
    profile = load_profile(name)
    assert profile.name == name
    by_text = [row for row in profile.rows if "few_shot" not in profile.rows[row]]
    assert by_text == list(PAPER_TABLE_1)[1:]  # all but the 10-shot row
    assert next(iter(profile.scenarios)) == "dog-to-cat"
    terms = {}
    for row in by_text:
        config = profile.config("dog-to-cat", row, seed=2)
        assert (config.generator, config.source_text, config.target_text) == ("generator-dog", "dog", "cat")
        assert config.seed == 2 and config.clips == ("clip-a", "clip-c") and profile.judge not in config.clips
        terms[row] = list(config.weights)
    assert terms == {
        "StyleGAN-NADA": ["directional"],
        "L_dir + L_EWC": ["directional", "ewc"],
        "L_dir": ["directional"],
        "L_dm": ["moment"],
        "L_dm + L_EWC": ["moment", "ewc"],
        "L_dm + L_EWC + L_rel": ["moment", "ewc", "relation"],
    }


@pytest.mark.parametrize("name", ["smoke", "demo"])
def test_the_rows_differ_in_their_losses_alone(name):
    """Same iterations, learning rate, batch and seeds for every row that a text guides; NADA picks layers."""
    profile = load_profile(name)
    configs = {row: profile.config("dog-to-cat", row) for row in profile.rows}
    configs = {row: config for row, config in configs.items() if config.few_shot is None}
    first, *others = [
        override(config, {"terms": {"moment": 1}, "selection": None}) for config in configs.values()
    ]
    assert all(other == first for other in others)
    assert all((config.selection is not None) == (row == "StyleGAN-NADA") for row, config in configs.items())


def test_smoke_is_demo_with_less_work():
    smoke, demo = load_profile("smoke"), load_profile("demo")
    assert smoke.rows == demo.rows and smoke.scenarios == demo.scenarios
    for row in demo.rows:
        large, small = demo.config("dog-to-cat", row), smoke.config("dog-to-cat", row)
        work = {
            "optimiser.iterations": large.optimiser.iterations,
            "ewc.samples": large.ewc.samples,
            "stage1.iterations": large.stage1.iterations,
        }
        assert override(small, work) == large
        assert small.optimiser.iterations < large.optimiser.iterations
        assert small.ewc.samples < large.ewc.samples and small.stage1.iterations < large.stage1.iterations
    assert smoke.samples < demo.samples and len(smoke.seeds) < len(demo.seeds)


def test_unknown_names_are_answered_with_the_choices():
    profile = load_profile("smoke")
    with pytest.raises(ValueError, match="row='L_foo' is unknown; choose one of StyleGAN-NADA, .*L_rel"):
        profile.config("dog-to-cat", "L_foo")
    with pytest.raises(ValueError, match="scenario='dog' is unknown; choose one of dog-to-cat"):
        profile.config("dog", "L_dir")
    with pytest.raises(ValueError, match="profile='tiny' is unknown; choose one of ablations, .*smoke"):
        load_profile("tiny")


PLACE = {"generator": "generator-dog", "source_text": "dog", "target_text": "cat"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"truth": {"species": "unicorn"}}, "species='unicorn' is unknown; choose one of dog, cat"),
        ({"truth": {"specie": "cat"}}, "truth has 'specie'; it takes species and style"),
        ({"resolution": 100}, "resolution=100"),
        ({"truth": {"folder": "nowhere"}}, "there is no folder nowhere"),
        (
            {"generator": "generator-dgo"},
            "generator='generator-dgo' is neither a file nor one of generator-afhq-cat",
        ),
        ({"target_text": " "}, "target_text=' '"),
        ({"truth": None}, "truth=None"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        build(Scenario, {**PLACE, "truth": {"species": "cat"}, **values})


def test_truth_can_be_a_folder_of_images(tmp_path):
    scenario = build(Scenario, {**PLACE, "truth": {"folder": str(tmp_path)}})
    assert scenario.truth == {"folder": str(tmp_path)}


def test_photographs_are_a_folder_that_holds_some(tmp_path):
    paper = load_profile("paper")
    assert paper.photographs is None
    with pytest.raises(ValueError, match=r"photographs: there is no folder nowhere; name one with pictures"):
        replace(paper, photographs="nowhere")
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(ValueError, match=rf"photographs: {tmp_path} holds no picture \(.*\.png"):
        replace(paper, photographs=str(tmp_path))
    Image.new("RGB", (8, 8)).save(tmp_path / "rex.png")
    assert replace(paper, photographs=str(tmp_path)).photographs == str(tmp_path)


MINE = """
scenarios:
  dog-to-cat: {generator: generator-dog, source_text: dog, target_text: cat, truth: {species: cat}}
settings: {clips: [clip-a], optimiser: {lr: 0.001, iterations: 5}}
rows: {L_dir: {terms: {directional: 1}}, L_dm: {terms: {moment: 1}, optimiser: {batch_size: 2}}}
seeds: [0]
samples: 10
clusters: 2
judge: clip-b
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a profile where the library looks for profiles."""
    monkeypatch.setattr("zsgan.runs.profiles.PROFILES", tmp_path)

    def write(text, name="mine"):
        (tmp_path / f"{name}.yaml").write_text(text)

    return write


def test_a_profile_that_extends_another_says_what_differs(write):
    write(MINE, "large")
    write("extends: large\nsettings: {optimiser: {iterations: 3}}\nseeds: [1, 2]\n", "small")
    large, small = load_profile("large"), load_profile("small")
    settings = {"clips": ["clip-a"], "optimiser": {"lr": 0.001, "iterations": 3}}
    assert small == replace(large, name="small", settings=settings, seeds=(1, 2))
    config = small.config("dog-to-cat", "L_dm").optimiser
    assert (config.iterations, config.lr, config.batch_size) == (3, 0.001, 2)


SHOTS = MINE.replace("rows: {", "rows: {shots: {terms: {}, few_shot: {discriminator: generator.st}}, ")


def test_the_target_of_a_few_images_is_the_truth(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "generator.st").write_bytes(b"any file")
    write(SHOTS.replace("truth: {species: cat}", "truth: {species: cat, style: sketch}"))
    config = load_profile("mine").config("dog-to-cat", "shots")
    assert config.few_shot.target == {"species": "cat", "style": "sketch"} and config.weights == {}
    write(SHOTS.replace("few_shot: {", "few_shot: {target: {folder: cats}, "))
    assert load_profile("mine").config("dog-to-cat", "shots").few_shot.target == {"folder": "cats"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHOTS, "discriminator='generator.st': there is no such file"),
        (MINE.replace("seeds: [0]\n", ""), "needs seeds; add it"),
        (MINE.replace("samples: 10\n", ""), "needs samples; add it"),
        (MINE + "colour: red", "setting 'colour' is unknown; the closest: "),
        (MINE + "name: other", "a profile is called like its file"),
        (
            MINE.replace("terms: {moment", "terms: {momnet"),
            "row 'L_dm' of scenario 'dog-to-cat': terms.momnet",
        ),
        (MINE.replace("lr: 0.001", "lr: fast"), "row 'L_dir'.*optimiser.lr='fast'"),
        (MINE.replace("iterations: 5", "iterations: 0"), "optimiser.iterations=0"),
        (MINE.replace("clip-b", "clip-a"), "judge='clip-a' also guides row 'L_dir'"),
        (MINE.replace("clip-b", "clip-z"), "clip 'clip-z' names no weights.*clip-a, clip-b"),
        (MINE.replace("[clip-a]", "[clip-z]").replace("judge: clip-b", "judge: clip-b"), "clip 'clip-z'"),
        (MINE.replace("clusters: 2", "clusters: 0"), "clusters=0"),
        (MINE.replace("clusters: 2", "clusters: 10"), "clusters=10 must be below samples=10"),
        (MINE + "truncation_psi: .nan", "truncation_psi=nan"),
        (MINE + "sheets: true", "sheets=true needs summarised=true"),
        (MINE + "snapshots: false", "snapshots=false needs summarised=true"),
        (MINE + "snapshots: [2]", r"snapshots=\[2\] needs summarised=true"),
        (
            MINE + "summarised: true\nsnapshots: [0]",
            r"mine\.yaml: snapshots=\[0\]: true, false, or a list of steps of at least 1 expected$",
        ),
        (
            MINE.replace("iterations: 5", "iterations: 200") + "summarised: true\nsnapshots: [20, 25, 200]",
            r"mine\.yaml: snapshots=\[20, 25, 200\]: a run of row 'L_dir' is not saved at step 25; choose "
            "from 20, 40, 60, 80, 100, 120, 140, 160, 180, 200$",
        ),
        (
            MINE.replace("batch_size: 2", "iterations: 60") + "summarised: true\nsnapshots: [2, 50]",
            "a run of row 'L_dm' is not saved at step 2; choose from 6, 12, 18, .*, 60$",
        ),
        (
            MINE + "measures: [fid]",
            "measures='fid' is unknown; choose one of clip_quality, .*, fd_dinov2",
        ),
        (MINE + "neighbours: 10", "neighbours=10 must be below samples"),
        (MINE.replace("species: cat", "species: yeti"), "species='yeti' is unknown"),
        (MINE.replace("seeds: [0]", "seeds: [0, 0]"), "seeds=.0, 0. has one twice"),
        (MINE.replace("seeds: [0]", "seeds: []"), "seeds"),
        (MINE.replace("generator-dog,", "generator-dgo,"), "generator='generator-dgo' is neither"),
        ("", "must hold entries such as 'scenarios:', got nothing"),
        ("- a\n- b", "must hold entries such as 'scenarios:', got a list"),
        ("a: [", "line 1: this is no valid YAML"),
        ("extends: mine", "extends 'mine', which extends it"),
        ("extends: mien", r"mine\.yaml: extends='mien' is unknown; choose one of mine"),
        ("extends: [demo]", "extends=.'demo'. is unknown"),
    ],
)
def test_a_faulty_profile_is_refused_when_it_is_read(write, text, message):
    write(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_profile("mine")
    assert "mine" in str(caught.value)


def test_a_profile_says_which_snapshots_are_measured(write):
    def measured(says, saved=(2, 4, 6, 8)):
        write(MINE.replace("iterations: 5", "iterations: 8") + "summarised: true\n" + says)
        return load_profile("mine").measured(saved)

    assert measured("") == [2, 4, 6, 8]
    assert measured("snapshots: false") == [8]
    assert measured("snapshots: [4, 2, 8]") == [2, 4, 8]
    assert measured("snapshots: [4, 2, 20]") == [2, 4, 8]  # that of a longer row
    assert measured("snapshots: [4, 6]", (2, 4, 5)) == [4, 5]  # of a run that levelled off


def test_a_quick_look_at_named_snapshots_is_no_error(write):
    """A caller's fewer steps may miss them; a row that may stop early has those of its longest run."""
    text = MINE.replace("iterations: 5", "iterations: 200, stop_at_plateau: true")
    write(text + "summarised: true\nsnapshots: [20, 60]")
    quick = replace(load_profile("mine"), overrides={"optimiser": {"iterations": 30}})
    assert quick.measured([3, 6, 9, 30]) == [30]


@pytest.mark.parametrize("name", sorted(file.stem for file in PROFILES.glob("*.yaml")))
def test_every_profile_that_ships_can_be_read(name):
    assert load_profile(name).name == name


def test_a_row_has_its_own_number_of_steps_and_a_profiles_overrides_go_over_it(write):
    write(MINE)
    write("extends: mine\noverrides: {optimiser: {iterations: 2, batch_size: 3}}", "quick")
    rows = (
        "\nrows: {long: {terms: {directional: 1}, optimiser: {iterations: 9}}, short: {terms: {moment: 1}}}"
    )
    write("extends: mine" + rows, "long")
    write("extends: long\noverrides: {optimiser: {iterations: 2}}", "both")
    long, both = load_profile("long"), load_profile("both")
    assert [long.config("dog-to-cat", row).optimiser.iterations for row in long.rows] == [9, 5]
    assert [both.config("dog-to-cat", row).optimiser.iterations for row in both.rows] == [2, 2]
    assert load_profile("quick").config("dog-to-cat", "L_dm").optimiser.batch_size == 3  # the row says 2
    write("extends: mine\noverrides: {optimiser: {steps: 2}}", "wrong")
    with pytest.raises(ValueError, match=r"'L_dir' of scenario 'dog-to-cat': setting 'optimiser.steps'"):
        load_profile("wrong")


def test_a_profile_is_a_path_too_and_a_missing_one_has_near_names(write, tmp_path):
    write(MINE)
    assert replace(load_profile(tmp_path / "mine.yaml"), name="mine") == load_profile("mine")
    (tmp_path / "mine.yml").write_bytes((tmp_path / "mine.yaml").read_bytes())
    assert load_profile(str(tmp_path / "mine.yml")).seeds == (0,)
    with pytest.raises(ValueError, match=r"there is no file .*mien\.yaml; the closest in its folder: mine"):
        load_profile(tmp_path / "mien.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [0]", "seeds: [1]\nseeds: [0]", r"mine\.yaml, line 7: .*'seeds' stands here a second time"),
        ("seeds: [0]", "seeds: [１]", "seeds.0='１': a number expected, in the digits 0 to 9$"),
        ("seeds: [0]", "seeds: [-1]", "seeds.0=-1: .*greater than or equal to 0$"),
        ("target_text: cat", "target_text: Dog", "source_text='dog' and target_text='Dog' are the same"),
        ("target_text: cat", "target_text: 1920", "target_text=1920: .*put a text of digits in quotes"),
        ("samples: 10", "samples: 10\ntruncation_psi: -1", "truncation_psi=-1.*greater than or equal to 0"),
    ],
)
def test_what_a_profile_says_is_checked(write, old, new, message):
    write(MINE.replace(old, new, 1))
    with pytest.raises(ValueError, match=message):
        load_profile("mine")


def test_a_word_that_yaml_takes_for_false_is_a_text(write):
    write(MINE.replace("target_text: cat", "target_text: no") + "summarised: yes")
    assert (
        load_profile("mine").scenarios["dog-to-cat"].target_text == "no" and load_profile("mine").summarised
    )


def test_settings_that_are_no_names_and_values_are_refused(write):
    write(MINE)
    write("extends: mine\nsettings: [lr]", "other")
    with pytest.raises(ValueError, match=r"other\.yaml: settings must be names and values, got \['lr'\]"):
        load_profile("other")


# The paper's profile


def test_the_paper_profile_has_its_scenarios_and_numbers():
    paper = load_profile("paper")
    assert len(paper.scenarios) == 6 and list(paper.rows)[-1] == "L_dm + L_EWC + L_rel"
    config = paper.config("dog-to-cat", "L_dm + L_EWC + L_rel")
    assert (config.generator, config.source_text, config.target_text) == ("generator-afhq-dog", "Dog", "Cat")
    assert (
        config.weights == {"moment": 1.0, "ewc": 1e7, "relation": 100.0} and config.moment.lambda_cov == 1e3
    )
    assert (config.optimiser.batch_size, config.optimiser.iterations, config.ewc.samples) == (4, 2000, 1024)
    assert paper.config("church-to-store", "StyleGAN-NADA").selection.k == 10
    assert {"generator-ffhq", "generator-lsun-car"} <= {s.generator for s in paper.scenarios.values()}


def test_colab_takes_rows_and_path_from_the_paper_and_fewer_steps():
    colab, paper = load_profile("colab"), load_profile("paper")
    scenario = "dog-to-cat"
    assert dict(colab.scenarios) == {scenario: paper.scenarios[scenario]}
    assert list(colab.rows) == ["L_dir", "L_dm", "L_dm + L_EWC", "L_dm + L_EWC + L_rel"]
    for row in colab.rows:
        less, whole = colab.config(scenario, row), paper.config(scenario, row)
        path = [found.optimiser.iterations * found.optimiser.lr for found in (less, whole)]
        assert path == pytest.approx([4.0, 4.0])
        assert replace(less, optimiser=whole.optimiser) == whole


def test_random_weights_have_the_shapes_of_the_scenario_and_say_so():
    paper = replace(load_profile("paper"), weights="random")
    config = paper.config("photo-to-pixar", "L_dm + L_EWC + L_rel")
    assert (config.generator, config.clips, config.ewc.samples) == ("random-1024", ("ViT-B-32/random",), 4)
    assert (config.optimiser.batch_size, config.target_text) == (4, "Pixar")
    with pytest.raises(ValueError, match="weights=random needs the scenario's resolution"):
        replace(load_profile("demo"), weights="random").config("dog-to-cat", "L_dm")


FEW = "rows: {few: {terms: {}, few_shot: {target: {species: cat}}}}"


@pytest.mark.parametrize("entry", ["discriminator: FILE, ", ""])
def test_a_scenario_names_the_discriminator_of_the_readers_generator(tmp_path, entry):
    """Without one it is that in the generator's own file, which a .pkl or .pt can hold."""
    file, g, d = tmp_path / "mine.yaml", tmp_path / "g.pkl", tmp_path / "d.safetensors"
    for weights in (g, d):
        weights.write_bytes(weights.name.encode())
    entry = entry.replace("FILE", str(d))
    scenario = f"{{generator: {g}, {entry}source_text: a, target_text: b}}"
    file.write_text(f"extends: paper\n{FEW}\nscenarios: {{own: {scenario}}}")
    job = resolve(load_profile(str(file)).config("own", "few"))
    assert job.config.few_shot.discriminator == (str(d) if entry else None)
    assert set(job.weights) == ({str(g), str(d)} if entry else {str(g)})


def test_a_discriminator_that_is_missing_is_asked_for(tmp_path):
    file, g = tmp_path / "mine.yaml", tmp_path / "g.safetensors"
    g.write_bytes(b"ours: a generator alone")
    scenario = f"scenarios: {{own: {{generator: {g}, source_text: a, target_text: b, discriminator: D}}}}"
    file.write_text(f"extends: paper\n{FEW}\n{scenario}")
    with pytest.raises(
        ValueError, match="discriminator='D' is neither a file nor one of discriminator-cat, d"
    ):
        load_profile(str(file))
    file.write_text(f"extends: paper\n{FEW}\n{scenario.replace(', discriminator: D', '')}")
    with pytest.raises(ValueError, match="comes without a discriminator; .* discriminator: FILE in the scen"):
        load_profile(str(file))


def test_random_networks_have_a_random_discriminator():
    """Of the generator's resolution, whatever discriminator the scenario names."""
    paper = load_profile("paper")
    scenario = replace(paper.scenarios["church-to-store"], discriminator="discriminator-dog")
    paper = replace(paper, weights="random", scenarios={"church-to-store": scenario})
    config = paper.config("church-to-store", "Ojha et al., 10-shot")
    assert config.few_shot.discriminator is None and config.generator == "random-256"
    found = load_discriminator(None, "random-16")
    assert found.config["resolution"] == 16 and found.config["channels"][16] == 512
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert found(images).shape == (2, 1) and torch.equal(
        found(images), load_discriminator(None, "random-16")(images)
    )


def test_a_profile_of_the_readers_own_names_a_file(tmp_path):
    file, weights = tmp_path / "mine.yaml", tmp_path / "mine.pkl"
    weights.write_bytes(b"anything")
    scenario = f"{{generator: {weights}, source_text: Dog, target_text: Cat, resolution: 512}}"
    file.write_text(f"extends: paper\nscenarios: {{own: {scenario}}}\nseeds: [7]\n")
    mine = load_profile(str(file))
    assert mine.seeds == (7,) and mine.config("own", "L_dm").generator == str(weights)


def test_rows_that_images_guide_belong_to_the_scenarios_with_images_of_their_target(tmp_path):
    paper = load_profile("paper")
    (few,) = [row for row in paper.rows if "10-shot" in row]
    assert paper.rows_of("dog-to-cat") == tuple(row for row in paper.rows if row != few)
    seen = replace(paper.scenarios["dog-to-cat"], truth={"folder": str(tmp_path)})
    both = replace(paper, scenarios={**paper.scenarios, "dog-to-cat": seen})
    assert both.rows_of("dog-to-cat") == tuple(paper.rows)
    assert few not in both.rows_of("cat-to-dog")
