import copy
import hashlib
import logging
import math
from collections import Counter
from dataclasses import asdict, replace

import open_clip
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from open_clip.transform import PreprocessCfg, image_transform_v2
from open_clip.transformer import QuickGELU
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES
from PIL import Image
from public_files import openai_program
from torch.nn.attention import SDPBackend, sdpa_kernel

from zsgan.assets import manifest
from zsgan.assets.names import weights_id
from zsgan.base.images import to_bytes
from zsgan.base.tensors import load_tensors, save_tensors
from zsgan.menagerie import clip_model
from zsgan.menagerie.captions import captions, captions_of
from zsgan.menagerie.draw import draw
from zsgan.menagerie.factors import SPECIES, sample_factors
from zsgan.menagerie.training import clip as train_clip
from zsgan.menagerie.training import examples, measure_clip
from zsgan.menagerie.training.attack import attack
from zsgan.menagerie.training.augment import augment, blur
from zsgan.menagerie.training.examples import Examples, draw_mixed
from zsgan.networks.clip import ClipEncoder, imagenet_templates
from zsgan.networks.load import load_clip


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def random_model():
    """A demo CLIP with random weights, its residual branches alive and its batch norms adjusted to images."""
    model, tokenizer = clip_model.build(train_clip.token_ids(), rng())
    for name, parameter in model.named_parameters():
        if name.endswith("bn3.weight"):
            torch.nn.init.constant_(parameter, 0.5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train().encode_image(3 * images(16, seed=9))
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def encoder(random_model):
    """That CLIP as an encoder; the model of ``random_model`` stays as it is trained and saved."""
    model, tokenizer = random_model
    return ClipEncoder(copy.deepcopy(model), tokenizer, "random")


@pytest.fixture(scope="module")
def encoder64(encoder):
    return copy.deepcopy(encoder).double()


def images(n, size=64, seed=0, dtype=torch.float32):
    """Smooth random images in about [-0.7, 0.7]."""
    coarse = torch.randn(n, 3, 6, 6, generator=rng(seed), dtype=dtype)
    return 0.7 * torch.tanh(F.interpolate(coarse, (size, size), mode="bicubic"))


# Images


def test_preprocessing_is_that_of_open_clip(encoder):
    pixels = to_bytes(images(1, 256))
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    expected = image_transform_v2(PreprocessCfg(size=64), is_train=False)(picture)[None]
    seen = []
    hook = encoder.model.visual.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = encoder.encode_images(pixels.float() / 127.5 - 1)
    hook.remove()
    # PIL rounds to 8 bits after each of its two passes, we do not round
    assert ((seen[0] - expected) * encoder.std).abs().max() < 1.5 / 255
    reference = F.normalize(encoder.model.encode_image(expected), dim=-1)
    assert (features - reference).norm() < 0.01


def test_images_of_the_models_size_are_not_resampled(encoder):
    x = images(2)
    reference = encoder.model.encode_image(((x + 1) / 2 - encoder.mean) / encoder.std, normalize=True)
    torch.testing.assert_close(encoder.encode_images(x), reference)


def test_features_are_unit_norm_and_independent_of_the_batch(encoder):
    x = images(5, 48)
    features = encoder.encode_images(x)
    assert features.shape == (5, encoder.dim) == (5, 128)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(5))
    alone = torch.cat([encoder.encode_images(one[None]) for one in x])
    torch.testing.assert_close(features, alone, atol=1e-5, rtol=0)


def test_frozen_whatever_surrounds_it(encoder):
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_autocast_reaches_the_network_alone(encoder):
    """Not the resize, nor the norm of the features, nor texts, which are encoded once."""
    x, given = images(2, 100), []
    expected, texts = encoder.encode_images(x), encoder.encode_texts(["dog"])
    handle = encoder.model.visual.register_forward_pre_hook(lambda module, inputs: given.append(inputs[0]))
    encoder.encode_images(x)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder.encode_images(x)
        assert torch.equal(encoder.encode_texts(["dog"]), texts)
    handle.remove()
    assert torch.equal(*given) and given[0].dtype == features.dtype == torch.float32
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2), rtol=1e-6, atol=0)
    assert 1e-5 < (features - expected).norm(dim=1).max() < 0.05


@pytest.mark.parametrize("size", [40, 64, 100])
def test_gradient_to_images_is_the_finite_difference(encoder64, size):
    x = images(2, size, dtype=torch.float64).requires_grad_()
    target = torch.randn(2, 128, generator=rng(1), dtype=torch.float64)
    direction = torch.randn(x.shape, generator=rng(2), dtype=torch.float64)

    def score(x):
        return (encoder64.encode_images(x) * target).sum()

    (gradient,) = torch.autograd.grad(score(x), x)
    h = 1e-8  # small enough to cross no kink of a ReLU
    with torch.no_grad():
        difference = (score(x + h * direction) - score(x - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), difference, rtol=1e-5, atol=1e-8)


def test_second_derivatives_exist_with_the_math_attention(encoder64):
    """What Hutchinson's estimate of a Hessian needs: derivative of the gradient against its difference."""
    x = images(1, dtype=torch.float64).requires_grad_()
    direction = torch.randn(x.shape, generator=rng(3), dtype=torch.float64)
    target = torch.randn(128, generator=rng(4), dtype=torch.float64)

    def slope(x):
        value = (encoder64.encode_images(x) @ target).sum()
        return (torch.autograd.grad(value, x, create_graph=True)[0] * direction).sum()

    with sdpa_kernel(SDPBackend.MATH):
        (second,) = torch.autograd.grad(slope(x), x)
        h = 1e-7
        ahead, behind = (slope((x + s * h * direction).detach().requires_grad_()) for s in (1, -1))
    torch.testing.assert_close((second * direction).sum(), (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 48)])
def test_images_of_another_shape_are_refused(encoder, shape):
    with pytest.raises(ValueError, match="images must be"):
        encoder.encode_images(torch.zeros(shape))


def test_bytes_are_no_images(encoder):
    with pytest.raises(ValueError, match=r"floating point in \[-1, 1\], got torch.uint8"):
        encoder.encode_images(to_bytes(images(1)))


# The network inside is open_clip's, written so that it is faster


def trained_resnet():
    """clip-a as open_clip builds it: its batch norms are those of the training."""
    tensors, config, _ = load_tensors(manifest.path("clip-a"))
    model, tokenizer = clip_model.build(config["token_ids"], rng())
    model.load_state_dict(tensors)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(norm.running_mean.abs().max() > 0.01 for norm in norms)
    assert all((norm.running_var - 1).abs().max() > 0.1 for norm in norms)
    assert any(norm.bias.abs().max() > 0.01 for norm in norms)
    return model.eval(), tokenizer


def small_vit():
    """open_clip's ViT in miniature, with its texts."""
    config = {
        "vision_cfg": {"image_size": 64, "layers": 3, "width": 48, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = open_clip.CLIP(embed_dim=32, **config)
    open_clip.model.set_model_preprocess_cfg(model, asdict(PreprocessCfg(size=64)))
    return model.eval(), open_clip.SimpleTokenizer(context_length=24)


ORIGINALS = pytest.mark.parametrize("original", [trained_resnet, small_vit])


def features_and_slopes(encode, x):
    """Features of images, and the gradient of a random score of theirs with respect to the images."""
    x = x.clone().requires_grad_()
    features = encode(x)
    target = torch.randn(features.shape, generator=rng(8), dtype=torch.float64).to(features.dtype)
    (slopes,) = torch.autograd.grad((features * target).sum(), x)
    return features.detach(), slopes


@ORIGINALS
def test_features_and_gradients_are_those_of_open_clips_network(original):
    """To rounding, in float64 as in float32: a norm inside a convolution, a sequence in another order."""
    model, tokenizer = original()
    x = images(5, dtype=torch.float64)
    for dtype, rounding in ((torch.float64, 1e-11), (torch.float32, 1e-4)):
        untouched = copy.deepcopy(model).to(dtype)
        encoder = ClipEncoder(copy.deepcopy(model).to(dtype), tokenizer, "one")
        wanted = features_and_slopes(
            lambda x, of=untouched, by=encoder: of.encode_image(((x + 1) / 2 - by.mean) / by.std), x.to(dtype)
        )
        found = features_and_slopes(lambda x, by=encoder: by.encode_images(x, normalise=False), x.to(dtype))
        for one, other in zip(found, wanted, strict=True):
            assert other.flatten(1).norm(dim=1).min() > 1e-4
            assert (one - other).abs().max() < rounding * other.abs().max()
        texts = ["a cat", "a photo of a dog"]
        with torch.no_grad():
            torch.testing.assert_close(
                encoder.encode_texts(texts, normalise=False), untouched.encode_text(tokenizer(texts))
            )


def test_the_shipped_clip_is_the_one_that_was_trained():
    model, _ = trained_resnet()
    encoder, x = load_clip("clip-a"), images(3)
    wanted = features_and_slopes(lambda x: model.encode_image(((x + 1) / 2 - encoder.mean) / encoder.std), x)
    found = features_and_slopes(lambda x: encoder.encode_images(x, normalise=False), x)
    for one, other in zip(found, wanted, strict=True):
        assert (one - other).abs().max() < 1e-4 * other.abs().max()


def test_no_normalisation_of_batches_is_left():
    model, tokenizer = trained_resnet()
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())
    for encoder in (ClipEncoder(model, tokenizer, "one"), load_clip("clip-b")):
        assert not [name for name, m in encoder.named_modules() if isinstance(m, torch.nn.BatchNorm2d)]
        assert not any(parameter.requires_grad for parameter in encoder.parameters())


@ORIGINALS
def test_a_model_can_be_wrapped_twice(original):
    model, tokenizer = original()
    first, x = ClipEncoder(model, tokenizer, "one"), images(3)
    before = features_and_slopes(first.encode_images, x)
    second = ClipEncoder(model, tokenizer, "two")
    for encoder in (first, second):
        for one, other in zip(features_and_slopes(encoder.encode_images, x), before, strict=True):
            assert torch.equal(one, other)


# Texts


def test_templates_are_averaged_on_the_sphere(encoder):
    templates = ("a photo of a {}.", "a cartoon of the {}", "{}, oil painting")
    texts = ("cat", "black dog")
    result = encoder.encode_texts(texts, templates)
    for text, features in zip(texts, result, strict=True):
        prompts = (f"a photo of a {text}.", f"a cartoon of the {text}", f"{text}, oil painting")
        mean = sum(encoder.encode_texts([prompt])[0] for prompt in prompts) / 3
        assert mean.norm() < 0.9999  # else there is nothing to normalise
        torch.testing.assert_close(features, mean / mean.norm(), atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.encode_texts(texts, ("{}",)), encoder.encode_texts(texts))


def test_features_may_keep_their_length(encoder):
    x, texts, templates = images(3), ["cat", "black dog"], ("a photo of a {}.", "{}, oil painting")
    raw = encoder.encode_images(x, normalise=False)
    torch.testing.assert_close(raw, encoder.model.encode_image((((x + 1) / 2) - encoder.mean) / encoder.std))
    assert (raw.norm(dim=1) - 1).abs().min() > 0.01
    torch.testing.assert_close(F.normalize(raw, dim=1), encoder.encode_images(x))

    def of_model(text):
        return encoder.model.encode_text(encoder.tokenizer([text]))[0]

    result = encoder.encode_texts(texts, templates, normalise=False)
    for text, features in zip(texts, result, strict=True):
        mean = (of_model(f"a photo of a {text}.") + of_model(f"{text}, oil painting")) / 2
        torch.testing.assert_close(features, mean, atol=1e-5, rtol=1e-5)
    assert not result.requires_grad


@pytest.mark.parametrize("antialias", [True, False])
def test_images_are_resized_as_interpolate_does(encoder, antialias):
    x = images(2, 150) + 0.3 * torch.randn(2, 3, 150, 150, generator=rng(1))
    small = F.interpolate(x, (64, 64), mode="bicubic", antialias=antialias)
    features = encoder.encode_images(x, antialias=antialias)
    torch.testing.assert_close(features, encoder.encode_images(small), atol=1e-4, rtol=0)
    assert (features - encoder.encode_images(x, antialias=not antialias)).abs().max() > 1e-3


def test_the_templates_are_79_of_open_clips_80():
    ours = Counter(imagenet_templates())
    theirs = Counter(template("{}") for template in OPENAI_IMAGENET_TEMPLATES)
    assert ours.total() == 79
    assert theirs - ours == Counter(["a photo of many {}."])


def test_compact_tokens_are_open_clips(encoder):
    texts = captions(sample_factors(300, rng()), rng()).texts
    texts += ["An 8-bit PIXEL art of a cat, close-up.", "", "a photo of a dog."]
    expected = open_clip.SimpleTokenizer(context_length=24)(texts)
    compact = encoder.tokenizer(texts)
    assert torch.equal(torch.tensor(encoder.tokenizer.token_ids)[compact], expected)
    assert torch.equal(compact.argmax(1), expected.argmax(1))  # where open_clip finds the end of a text
    assert compact.max() == encoder.model.vocab_size - 1


def test_compact_embedding_gives_the_features_of_the_full_one(encoder, random_model):
    full = open_clip.CLIP(**open_clip.get_model_config(clip_model.NAME)).eval()
    state = random_model[0].state_dict()
    table = torch.randn(full.token_embedding.weight.shape, generator=rng())
    table[encoder.tokenizer.token_ids] = state["token_embedding.weight"]
    full.load_state_dict({**state, "token_embedding.weight": table})
    texts = ["a photo of a cat.", "sketch of a grey fox with green eyes"]
    with torch.no_grad():
        expected = full.encode_text(open_clip.SimpleTokenizer(context_length=24)(texts), normalize=True)
    torch.testing.assert_close(encoder.encode_texts(texts), expected)


def test_an_unknown_word_is_named_with_words_that_are_known(encoder):
    with pytest.raises(ValueError, match=r"trained on: giraffe\. It knows .*\bcat\b.*\bstriped\b"):
        encoder.encode_texts(["a cat", "a photo of a giraffe"])


@pytest.mark.parametrize("known", ["encoder", "full vocabulary"])
def test_a_text_is_never_cut(encoder, known):
    encoder = encoder if known == "encoder" else load_clip(clip_model.NAME)
    fits = " ".join(["cat"] * 22)  # and its start and its end: 24 tokens
    assert encoder.encode_texts([fits]).shape == (1, 128)
    assert encoder.fits([fits, fits + " cat", "cat"]).tolist() == [True, False, True]
    with pytest.raises(ValueError, match="text='cat cat .* longer than the 24 tokens"):
        encoder.encode_texts(["dog", fits + " cat"])


@pytest.mark.parametrize(
    ("texts", "templates", "message"),
    [
        ("cat", None, "sequence"),
        ([], None, "empty"),
        (["cat"], [], "empty"),
        (["cat"], ["a photo"], "must have"),
        (["cat", ""], None, "texts must say something, got ''"),
        ([" \t"], ["a photo of a {}"], r"texts must say something, got ' \\t'"),
    ],
)
def test_texts_and_templates_are_checked(encoder, texts, templates, message):
    with pytest.raises(ValueError, match=message):
        encoder.encode_texts(texts, templates)


# Loading


def test_half_precision_files_keep_the_features(encoder, random_model, tmp_path):
    path = tmp_path / "clip.safetensors"
    config = {"token_ids": encoder.tokenizer.token_ids}
    save_tensors(random_model[0].state_dict(), path, config=config, provenance={}, dtype=torch.float16)
    tensors, config, _ = load_tensors(path)
    model, tokenizer = clip_model.build(config["token_ids"], rng(1))
    model.load_state_dict(tensors)
    loaded = ClipEncoder(model, tokenizer, "loaded")
    x, texts = images(4), ["a photo of a cat", "a dog"]
    assert (loaded.encode_images(x) - encoder.encode_images(x)).norm(dim=1).max() < 0.01
    assert (loaded.encode_texts(texts) - encoder.encode_texts(texts)).norm(dim=1).max() < 0.01


@pytest.mark.parametrize("name", ["clip-a", "clip-b", "clip-c"])
def test_the_shipped_clips_read_the_demo_world(name):
    encoder = load_clip(name)
    factors = sample_factors(100, rng(7))
    features = encoder.encode_images(draw(factors))
    texts = encoder.encode_texts(SPECIES, ("a photo of a {}.", "a {}"))
    assert encoder.name == name
    assert ((features @ texts.T).argmax(1) == factors.species).float().mean() > 0.8


def test_weights_trained_with_quick_gelu_get_it(encoder, monkeypatch):
    asked = {}

    def create_model(name, **settings):
        asked.update(settings)
        return encoder.model

    monkeypatch.setattr(open_clip, "create_model", create_model)
    monkeypatch.setattr(open_clip, "get_tokenizer", lambda name: encoder.tokenizer)
    load_clip("ViT-B-32-quickgelu/openai")
    assert asked["force_quick_gelu"] and asked["pretrained"] == "openai"
    load_clip("ViT-B-32/laion2b_s34b_b79k")
    assert not asked["force_quick_gelu"]


def test_wrong_names_are_refused():
    with pytest.raises(ValueError, match="clip-a"):
        load_clip("clip-z")
    with pytest.raises(ValueError, match="name='clip-a/openai' is no CLIP of the demo"):
        load_clip("clip-a/openai")


# Training


def test_contrastive_loss_is_cross_entropy_when_captions_differ():
    a, b = (F.normalize(torch.randn(6, 8, generator=rng(s)), dim=1) for s in (0, 1))
    logits, label = 7 * a @ b.T, torch.arange(6)
    expected = (F.cross_entropy(logits, label) + F.cross_entropy(logits.T, label)) / 2
    loss = train_clip.contrastive_loss(a, b, torch.tensor(7.0), torch.eye(6))
    torch.testing.assert_close(loss, expected)


def test_equal_captions_share_the_target():
    """Perfect features of 2 captions, each of 3 images: 1/3 on each positive, so the loss is log 3."""
    features = torch.eye(2).repeat_interleave(3, 0)
    loss = train_clip.contrastive_loss(features, features, torch.tensor(100.0), features @ features.T)
    assert loss.item() == pytest.approx(math.log(3), abs=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_attack_stays_in_the_ball_and_beats_noise(encoder, steps):
    x, same = images(4), torch.eye(4)
    texts = encoder.encode_images(x)  # each image fits its own text perfectly

    def fit(x):
        return (encoder.encode_images(x) * texts).sum(1)

    fooled = attack(
        encoder.encode_images, x, texts, same, scale=20.0, epsilon=1.0, generator=rng(), steps=steps
    )
    assert fooled.abs().max() <= 1
    assert (fooled - x).flatten(1).norm(dim=1).max() <= 1.0001
    noise = torch.randn(x.shape, generator=rng(1))
    noise = noise / noise.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    assert (fit(fooled) < fit(x + noise)).all()


def test_augmented_images_are_images_and_reproducible():
    x = images(12)
    before = x.clone()
    result = augment(x, rng())
    assert torch.equal(x, before)
    assert result.shape == x.shape and result.abs().max() <= 1
    assert torch.equal(result, augment(x, rng())) and not torch.equal(result, augment(x, rng(1)))
    assert (result - x).flatten(1).norm(dim=1).min() > 0.1


def test_blur_is_a_gaussian():
    impulse = torch.zeros(1, 2, 21, 21)
    impulse[..., 10, 10] = 1
    result = blur(impulse, 1.5)[0, 0]
    offsets = torch.arange(21.0) - 10
    torch.testing.assert_close(result.sum(), torch.tensor(1.0))
    assert (result.sum(0) * offsets**2).sum().item() == pytest.approx(1.5**2, rel=0.05)
    torch.testing.assert_close(blur(torch.ones(1, 3, 16, 16), 1.0), torch.ones(1, 3, 16, 16))


def test_equal_captions_in_two_groups_are_all_positives_of_theirs():
    """A caption that is true of everything, beside two that tell the images apart, by hand."""
    images, texts = torch.eye(2), torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8]])
    same = torch.tensor([[1.0, 0, 1], [0, 1, 1]])
    chances = [[math.exp(2 * c) for c in row] for row in (images @ texts.T).tolist()]
    rows = [-math.log(chances[i][j] / sum(chances[i])) / 2 for i, j in ((0, 0), (0, 2), (1, 1), (1, 2))]
    columns = [[chances[0][j], chances[1][j]] for j in range(3)]
    parts = [[-math.log(c / sum(column)) for c in column] for column in columns]
    expected = (sum(rows) / 2 + (parts[0][0] + parts[1][1] + sum(parts[2]) / 2) / 3) / 2
    loss = train_clip.contrastive_loss(images, texts, torch.tensor(2.0), same)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def trained(tmp_path):
    """Trains a CLIP for three steps of 4 of 12 portraits, in a folder of tmp_path."""
    factors = sample_factors(12, rng())
    whole = Examples(to_bytes(draw(factors)), factors)

    def run(folder, examples=whole, **settings):
        generator = rng(5)
        model, tokenizer = clip_model.build(train_clip.token_ids(), generator)
        settings = {"steps": 3, "batch": 4} | settings
        history = train_clip.train(
            model, tokenizer, examples, generator,
            folder=tmp_path / folder, progress=False, **settings,
        )  # fmt: skip
        return model.state_dict(), [{k: v for k, v in row.items() if k != "seconds"} for row in history]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_clip, "SAVE_EVERY", 1)
        yield run


def test_training_is_peaceful_first_and_attacks_more_and_more(trained, monkeypatch, tmp_path):
    attacked = []

    def spy(encode, images, texts, same, **settings):
        attacked.append((len(images), tuple(same.shape), settings["epsilon"]))
        return attack(encode, images, texts, same, **settings)

    monkeypatch.setattr(train_clip, "attack", spy)
    _, history = trained("one")
    epsilons = [0.0, train_clip.EPSILON * (1 / 3 - 0.25) / (0.6 - 0.25), train_clip.EPSILON]
    assert [row["epsilon"] for row in history] == pytest.approx(epsilons)
    assert attacked == [(3, (3, 4), pytest.approx(epsilon)) for epsilon in epsilons[1:]]  # 1 of 4 is spared
    groups = torch.load(tmp_path / "one" / "state.pt")["state"]["optimizer"]["param_groups"]
    # the third of 60 steps of warming up, two thirds down the cosine
    assert [group["lr"] for group in groups] == pytest.approx([train_clip.LEARNING_RATE * 3 / 60 / 4] * 2)


def test_training_begins_anew_with_late_batches(trained, monkeypatch, tmp_path):
    """The last quarter on mixed examples: its own learning rate, attacks at full strength, a new Adam."""
    factors, asked = sample_factors(12, rng()), []
    mixed = draw_mixed(to_bytes(draw(factors)), factors, rng())
    batch = type(mixed).batch

    def spy(self, size, generator, late):
        asked.append(late)
        return batch(self, size, generator, late)

    monkeypatch.setattr(type(mixed), "batch", spy)
    _, history = trained("late", mixed, steps=8)
    assert asked == [False] * 6 + [True] * 2
    plain = [train_clip.EPSILON * min(1.0, max(0.0, i / 6 - 0.25) / 0.35) for i in range(6)]
    assert [row["epsilon"] for row in history] == pytest.approx([*plain, *[train_clip.EPSILON] * 2])
    kept = torch.load(tmp_path / "late" / "state.pt")["state"]["optimizer"]
    # the second of 60 steps of warming up, halfway down the cosine
    assert [g["lr"] for g in kept["param_groups"]] == pytest.approx([train_clip.LATE_RATE * 2 / 60 / 2] * 2)
    assert {int(state["step"]) for state in kept["state"].values()} == {2}


def test_training_takes_every_true_caption_as_a_positive(trained, monkeypatch):
    true, loss = [], train_clip.contrastive_loss

    def write(values, generator):
        written = captions_of(values, generator)
        true.append(written.true_of_values(values))
        return written

    used = []

    def spy(images, texts, scale, same):
        used.append(same)
        return loss(images, texts, scale, same)

    monkeypatch.setattr(examples, "captions_of", write)
    monkeypatch.setattr(train_clip, "contrastive_loss", spy)
    trained("one", batch=12)
    assert len(used) == 3 and all(torch.equal(a, b) for a, b in zip(used, true, strict=True))
    assert sum(same.sum() for same in used) > 3 * 12  # of more than its own portrait


def test_the_state_of_another_training_is_refused(trained):
    trained("one")
    factors = sample_factors(12, rng())
    mixed = draw_mixed(to_bytes(draw(factors)), factors, rng())
    for other in ({"seed": 1}, {"batch": 5}, {"steps": 4}, {"examples": mixed}):
        with pytest.raises(ValueError, match="belongs to a training with other arguments"):
            trained("one", **other)


def test_training_resumes_to_the_same_bits(trained, monkeypatch):
    run = trained
    whole, history = run("whole")
    calls = []

    def stop_in_the_third_step(*inputs):
        calls.append(inputs)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return captions_of(*inputs)

    monkeypatch.setattr(examples, "captions_of", stop_in_the_third_step)
    with pytest.raises(KeyboardInterrupt):
        run("stopped")
    monkeypatch.undo()
    resumed, resumed_history = run("stopped")
    assert resumed_history == history
    assert history[-1]["epsilon"] == train_clip.EPSILON
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


# Measuring


@pytest.mark.parametrize("kind", measure_clip.QUESTIONS)
def test_zero_shot_accuracy_counts_true_answers(encoder, kind):
    prompt, values = measure_clip.QUESTIONS[kind]
    factors = sample_factors(60, rng(2))
    names = measure_clip.world.CATEGORIES[kind]
    spoken = torch.tensor([names[i] in values for i in getattr(factors, kind)])
    factors = factors[spoken]
    true = [
        prompt.format(value=names[value], animal=SPECIES[animal])
        for value, animal in zip(getattr(factors, kind), factors.species, strict=True)
    ]
    features = encoder.encode_texts(true)
    assert measure_clip._zero_shot(encoder, features, factors, kind) == 1
    features[::3] *= -1  # these now fit every other answer better
    expected = 1 - len(range(0, len(true), 3)) / len(true)
    assert measure_clip._zero_shot(encoder, features, factors, kind) == pytest.approx(expected)


def test_recall_counts_captions_found_again(encoder):
    words = captions(sample_factors(64, rng(3)), rng(3)).texts
    features = encoder.encode_texts(words)
    assert measure_clip._recall(encoder, features, words, among=32) == 1
    assert measure_clip._recall(encoder, -features, words, among=32) == 0


# The CLIP of the paper: open_clip's ViT-B/32, its weights random here


@pytest.fixture(scope="module")
def vit():
    return load_clip("ViT-B-32/random")


def test_the_papers_clip_has_its_shapes_and_no_luck(vit):
    assert (vit.dim, vit.image_size, vit.model.context_length) == (512, 224, 77)
    assert vit.mean.dtype == torch.float32 == vit.model.visual.conv1.weight.dtype
    again = load_clip("ViT-B-32")
    assert all(torch.equal(a, b) for a, b in zip(vit.parameters(), again.parameters(), strict=True))


def test_open_clip_does_not_tell_its_steps(caplog):
    with caplog.at_level(logging.DEBUG):
        load_clip("ViT-B-32/random")
    assert not [record for record in caplog.records if record.name == "root"]


@pytest.mark.parametrize("size", [64, 224, 256, 512, 1024])
def test_images_reach_vit_as_open_clips_own_preprocessing_makes_them(vit, size):
    """Within 1.5 of 255 levels: PIL rounds to bytes after each of two passes, and clips; we do neither."""
    pixels = to_bytes(images(1, size))
    picture = Image.fromarray(pixels[0].permute(1, 2, 0).numpy())
    config = PreprocessCfg(**vit.model.visual.preprocess_cfg)
    assert config.interpolation == "bicubic" and config.mean == pytest.approx(vit.mean.flatten().tolist())
    expected = image_transform_v2(config, is_train=False)(picture)[None]
    seen = []
    hook = vit.model.visual.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    features = vit.encode_images(pixels.float() / 127.5 - 1)
    hook.remove()
    assert ((seen[0] - expected) * vit.std).abs().max() < 1.5 / 255
    assert (features * F.normalize(vit.model.encode_image(expected), dim=-1)).sum() > 0.999


def test_gradients_reach_images_of_512_px_through_vit(vit):
    x = images(1, 512).requires_grad_()
    vit.encode_images(x)[0, 0].backward()
    assert x.grad.isfinite().all() and (x.grad != 0).float().mean() > 0.9


def test_texts_of_vit(vit):
    features = vit.encode_texts(["cat"], imagenet_templates()[::30])
    assert features.shape == (1, 512) and not torch.equal(features, vit.encode_texts(["cat"]))
    fits = " ".join(["cat"] * 75)
    assert vit.fits([fits, f"{fits} cat"]).tolist() == [True, False]
    with pytest.raises(ValueError, match="longer than the 77 tokens"):
        vit.encode_texts([f"{fits} cat"])


# Files of OpenAI


@pytest.fixture
def tiny_open_clip(monkeypatch):
    """open_clip's ViT-B-32 in miniature."""
    sizes = open_clip.get_model_config("ViT-B-32")
    sizes["vision_cfg"] |= {"width": 64, "layers": 1}
    sizes["text_cfg"] |= {"width": 64, "heads": 1, "layers": 1, "vocab_size": 49408}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", sizes)
    quick = sizes | {"quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32-quickgelu", quick)


def test_openais_file_is_read_without_running_it(tiny_open_clip, tmp_path, monkeypatch):
    """A program of TorchScript: its tensors are taken, its code is not looked at."""
    source = load_clip("ViT-B-32/random")
    path = tmp_path / "ViT-B-32.pt"
    path.write_bytes(openai_program(source.model))
    monkeypatch.setattr(torch.jit, "load", None)
    loaded = load_clip(f"ViT-B-32/{path}")
    state = source.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in loaded.model.state_dict().items())
    assert isinstance(loaded.model.visual.transformer.resblocks[0].mlp.gelu, QuickGELU)
    assert not isinstance(source.model.visual.transformer.resblocks[0].mlp.gelu, QuickGELU)


def test_both_published_formats_of_openais_weights_are_one_clip(tiny_open_clip, tmp_path, monkeypatch):
    """The archive of OpenAI and the safetensors of open_clip, each under the manifest's one name and path."""
    source = load_clip("ViT-B-32/random")
    written = {
        "archive": openai_program(source.model.half()),
        "safetensors": safetensors.torch.save(source.model.float().state_dict()),
    }
    hashes = {kind: hashlib.sha256(content).hexdigest() for kind, content in written.items()}
    entry = replace(
        manifest.asset("ViT-B-32/openai"),
        sha256=hashes["archive"],
        bytes=len(written["archive"]),
        alternatives={hashes["safetensors"]: "the same weights in open_clip's safetensors"},
    )
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path))
    monkeypatch.setitem(manifest.assets(), "ViT-B-32/openai", entry)
    entry.file.parent.mkdir()
    x, texts, features = images(2, 224), ["a dog", "a cat"], {}
    for kind, content in written.items():
        entry.file.write_bytes(content)
        manifest.path.cache_clear()
        loaded = load_clip("ViT-B-32/openai")
        assert weights_id("ViT-B-32/openai") == hashes[kind]
        features[kind] = torch.cat([loaded.encode_images(x), loaded.encode_texts(texts)])
    assert torch.equal(features["archive"], features["safetensors"])
    # Both with OpenAI's GELU, computed here by open_clip's architecture that is made with it.
    (own := tmp_path / "own.safetensors").write_bytes(written["safetensors"])
    quick = load_clip(f"ViT-B-32-quickgelu/{own}")
    assert torch.equal(features["archive"][:2], quick.encode_images(x))
    other = F.normalize(torch.cat([source.encode_images(x), source.encode_texts(texts)]), dim=-1)
    assert (features["archive"] - other).abs().max() > 1e-4
    manifest.path.cache_clear()


def test_a_damaged_file_of_a_clip_is_named(tiny_open_clip, tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=f"{path} does not hold the weights of ViT-B-32"):
        load_clip(f"ViT-B-32/{path}")
    torch.save({"visual.proj": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=f"{path} does not hold the weights of ViT-B-32"):
        load_clip(f"ViT-B-32/{path}")


def test_the_manifests_clip_is_openais(monkeypatch, tmp_path):
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"ViT-B-32\.pt is missing .* zsgan fetch ViT-B-32/openai"):
        load_clip("ViT-B-32/openai")
