"""Renderer of animal portraits from their factors, vectorised over the batch, at any resolution.

Every part is a signed distance (negative inside), painted from back to front: background, body, pricked ears,
head, folded ears, muzzle, eyes. Coordinates are in [-1, 1], x to the right and y down, so a portrait is the
same at any size. Rendering is deterministic, and the image is a smooth function of the scores, except for the
flat colours of a painting, which have thresholds.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.menagerie.factors import STYLES, Factors, appearance

_PINK, _TONGUE, _MOUTH, _INK = (0.89, 0.50, 0.52), (0.93, 0.42, 0.47), (0.30, 0.08, 0.09), (0.07, 0.06, 0.06)
_INNER_EAR = (0.88, 0.58, 0.54)
_SPOTS = (
    (-0.30, -0.36), (0.02, -0.42), (0.34, -0.30), (-0.44, 0.06),
    (0.46, 0.12), (-0.34, 0.34), (0.32, 0.38), (0.0, -0.2),
)  # fmt: skip
_CELLS = 16  # per side, of pixel art
# Strength of the shading in each style, and half the width of its outlines (in half picture widths).
_SHADING = {"photo": 1.0, "cartoon": 0.35, "sketch": 0.5, "painting": 0.8, "pixel art": 0.7}
_OUTLINE = {"cartoon": 0.034, "sketch": 0.022}


def draw(factors: Factors, resolution: int = 64, seen: dict[str, Tensor] | None = None) -> Tensor:
    """Images of portraits.

    Args:
        factors: N portraits; on any device.
        resolution: pixels per side, a multiple of 16 (the cells of pixel art).
        seen: visible attributes to draw in place of :func:`zsgan.menagerie.factors.appearance` of
            ``factors``, of which only the style is then used.

    Returns:
        (N, 3, resolution, resolution), in [-1, 1], on the device of ``factors``.

    Raises:
        ValueError: ``resolution`` is not a positive multiple of 16.
    """
    if resolution < _CELLS or resolution % _CELLS:
        raise ValueError(f"resolution must be a positive multiple of {_CELLS}, got {resolution}")
    seen = appearance(factors) if seen is None else seen
    return _stylise(_Portrait(factors, resolution, seen).paint(), factors, resolution) * 2 - 1


class _Portrait:
    """The canvas of N portraits, and one method for each part of the face.

    Signed distances are (N, H, W) in half picture widths, colours (N, 3, H or 1, W or 1) in [0, 1].
    """

    def __init__(self, factors: Factors, resolution: int, seen: dict[str, Tensor]) -> None:
        self.seen = seen
        self.device = factors.species.device
        self.pixel = 2.9 / resolution  # width over which an edge is blended
        shading, outline, outlined, painted = (
            self._of_style(factors, table)
            for table in (_SHADING, _OUTLINE, dict.fromkeys(_OUTLINE, 1.0), {"painting": 0.02})
        )
        self.outline, self.outlined = outline, outlined
        self.shade = self["light_strength"] * shading
        # Photos and paintings have full highlights, cartoons weaker ones; a sketch has only white paper.
        self.gloss = self._of_style(factors, {"photo": 1.0, "painting": 1.0, "cartoon": 0.5})
        self.backdrop = self._of_style(
            factors, {"photo": 1.3, "painting": 1.3, "cartoon": 0.3, "sketch": 0.3, "pixel art": 0.3}
        )
        axis = (torch.arange(resolution, device=self.device) + 0.5) / resolution * 2 - 1
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        self.y = y[None]
        # The brush strokes of a painting waver.
        self.u = (x[None] - self["shift_x"] - painted * torch.sin(9 * y)) / self["scale"]
        self.v = (y[None] - 0.10 - painted * torch.sin(8 * x)) / self["scale"]
        self.x = x[None]
        light_x = self["light_x"]
        self.light = (light_x, -0.8 * (1 - 0.6 * light_x.square()).sqrt())
        self.fur = self.colour("fur")
        self.image = self.fur

    def __getitem__(self, name: str) -> Tensor:
        """A visible attribute, shaped (N, 1, 1)."""
        return self.seen[name][:, None, None]

    def colour(self, value: str | tuple[float, float, float]) -> Tensor:
        """A visible colour by its name, or a fixed colour, shaped (N or 1, 3, 1, 1)."""
        rgb = self.seen[value] if isinstance(value, str) else torch.tensor([value], device=self.device)
        return rgb[:, :, None, None]

    def _of_style(self, factors: Factors, table: dict[str, float]) -> Tensor:
        values = torch.tensor([table.get(style, 0.0) for style in STYLES], device=self.device)
        return values[factors.style][:, None, None]

    def layer(
        self,
        distance: Tensor,
        colour: Tensor,
        relief: Tensor | None = None,
        alpha: Tensor | float = 1.0,
        outlined: bool = True,
    ) -> None:
        """Paint where ``distance`` is negative, lit by ``relief`` (0: flat); outlined in some styles."""
        cover = (0.5 - distance / self.pixel).clamp(0, 1)
        cover = cover * cover * (3 - 2 * cover) * alpha
        if relief is not None:
            colour = colour * (1 + self.shade * relief)[:, None]
        self.image = torch.lerp(self.image, colour.expand_as(self.image), cover[:, None])
        if outlined:
            line = (0.5 - (distance.abs() - self.outline) / self.pixel).clamp(0, 1) * self.outlined * alpha
            self.image = self.image * (1 - 0.85 * line[:, None])

    def bulge(self, x: Tensor | float, y: Tensor | float, rx: Tensor | float, ry: Tensor | float) -> Tensor:
        """Relief of a ball around (x, y): light from one side and above, darker towards the rim."""
        a, b = (self.u - x) / rx, (self.v - y) / ry
        lit = self.light[0] * a + self.light[1] * b
        return 0.8 * lit - 0.35 * (a.square() + b.square()).clamp(0, 1) + 0.12

    def paint(self) -> Tensor:
        """Images (N, 3, R, R) in [0, 1], before stylisation."""
        self.background()
        self.body()
        self.ears(folded=False)
        coat = self.coat()
        self.head(coat)
        self.ears(folded=True)
        self.muzzle(coat)
        self.nose()
        self.whiskers()
        for side in (-1, 1):
            self.eye(side)
        return self.image.clamp(0, 1)

    def background(self) -> None:
        """A wall, lighter where the light comes from."""
        falloff = 0.18 * (self.light[0] * self.x + self.light[1] * self.y) * self.backdrop
        self.image = self.colour("background") * (1 + self["background_gradient"] * self.y + falloff)[:, None]

    def body(self) -> None:
        """Shoulders at the lower edge."""
        self.layer(
            _ellipse(self.u, self.v - 1.08, 0.66, 0.62), self.fur * 0.84, self.bulge(0, 1.08, 0.66, 0.62)
        )

    def ears(self, folded: bool) -> None:
        """Both ears, each of a base and a tip that bends outwards; folded ones hang before the head."""
        hang = torch.sigmoid(9 * (self["ear_bend"] - 0.95))
        base, tip = self["ear_width"], self["ear_tip"]
        middle = 0.62 * base + 0.38 * tip
        angle, length = self["ear_angle"], self["ear_length"]
        for side in (-1, 1):
            x0 = side * self["ear_spread"] - 0.06 * self["yaw"]
            y0 = -0.66 * self["head_height"] + 0.05 * self["pitch"]
            x1 = x0 + side * torch.sin(angle) * length * 0.42
            y1 = y0 - torch.cos(angle) * length * 0.42
            x2 = x1 + side * torch.sin(angle + self["ear_bend"]) * length * 0.62
            y2 = y1 - torch.cos(angle + self["ear_bend"]) * length * 0.62
            outer = _union(
                _capsule(self.u, self.v, x0, y0, x1, y1, base, middle),
                _capsule(self.u, self.v, x1, y1, x2, y2, middle, tip),
                0.05,
            )
            if folded:
                relief = 0.4 * side * self.light[0] - 0.2 * (self.v + 0.3)
                self.layer(outer, self.fur * 0.72, relief, hang)
                continue
            self.layer(outer, self.fur * 0.95, 0.4 * side * self.light[0] + 0.1 * self.light[1], 1 - hang)
            inner = _union(
                _capsule(
                    self.u, self.v, torch.lerp(x0, x1, 0.15), torch.lerp(y0, y1, 0.15), x1, y1,
                    0.55 * base, 0.55 * middle,
                ),
                _capsule(
                    self.u, self.v, x1, y1, torch.lerp(x1, x2, 0.6), torch.lerp(y1, y2, 0.6),
                    0.55 * middle, 0.5 * tip,
                ),
                0.04,
            )  # fmt: skip
            skin = self.colour(_INNER_EAR) * 0.65 + self.fur * 0.35
            self.layer(inner, skin, None, 0.9 * (1 - hang), outlined=False)

    def coat(self) -> Tensor:
        """Colours (N, 3, R, R) of the face: fur with stripes, spots, patches around the eyes, and a blaze."""
        x, y = self.u, self.v
        brow = torch.sigmoid(9 * (torch.sin(21 * x.abs() + 3.5 * y) - 0.15)) * torch.sigmoid(14 * (-0.05 - y))
        cheek = torch.sigmoid(9 * (torch.sin(17 * y + 9 * x.abs()) - 0.1)) * torch.sigmoid(
            16 * (x.abs() - 0.36)
        )
        blobs = torch.stack(
            [torch.exp(-1.6 * ((x - a).square() + (y - b).square()) / 0.085**2) for a, b in _SPOTS]
        ).sum(0)
        marked = 0.8 * (brow + cheek) * self["stripes"]
        marked = marked + 0.8 * torch.sigmoid(12 * (blobs - 0.45)) * self["spots"]
        for side, name in ((-1, "patch_left"), (1, "patch_right")):
            around_eye = x - side * 1.05 * self["eye_spread"] - 0.1 * self["yaw"]
            patch = torch.sigmoid(-22 * _ellipse(around_eye, y + 0.12, 0.23, 0.27))
            marked = marked + 0.85 * patch * self[name]
        # Markings are darker than light fur and lighter than dark fur.
        dark = torch.sigmoid(20 * (0.42 - self["value"]))[:, None]
        marking = 0.36 * self.fur * (1 - dark) + (0.4 * self.fur + 0.5) * dark
        coat = torch.lerp(self.fur.expand(-1, -1, *x.shape[1:]), marking, marked.clamp(0, 1)[:, None])
        stripe = torch.sigmoid(-24 * _ellipse(x - 0.14 * self["yaw"], y + 0.25, 0.085, 0.36)) * self["blaze"]
        return torch.lerp(coat, self.pale().expand_as(coat), 0.95 * stripe[:, None])

    def pale(self) -> Tensor:
        """The light colour of a blaze or a muzzle."""
        return 0.25 * self.fur + 0.72

    def head(self, coat: Tensor) -> None:
        """Skull and jaw."""
        width, height = self["head_width"], self["head_height"]
        skull = _ellipse(self.u, self.v, width, height)
        jaw = _ellipse(self.u - 0.05 * self["yaw"], self.v - 0.55 * height, self["jaw_width"], 0.52 * height)
        self.layer(_union(skull, jaw, 0.15), coat, self.bulge(0, 0.05, 1.1 * width, 1.2 * height))

    def _muzzle(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centre and size of the muzzle."""
        x = 0.16 * self["yaw"]
        y = self["muzzle_drop"] + 0.05 * self["pitch"]
        return x, y, self["muzzle_width"], self["muzzle_height"]

    def muzzle(self, coat: Tensor) -> None:
        """Open mouth with a tongue; over it two cheeks, the bridge of the nose, and the line of the lips."""
        x, y, w, h = self._muzzle()
        opened, lip, u, v = self["mouth_open"], y + 0.72 * h, self.u - x, self.v
        self.layer(
            _ellipse(u, v - lip - 0.07 * opened, 0.55 * w, 0.015 + 0.15 * opened),
            self.colour(_MOUTH), None, opened,
        )  # fmt: skip
        self.layer(
            _ellipse(u, v - lip - 0.13 * opened - 0.03, 0.34 * w, 0.015 + 0.13 * opened),
            self.colour(_TONGUE), None, opened * self["tongue"], outlined=False,
        )  # fmt: skip
        left, right = (_ellipse(u - side * 0.36 * w, v - y, 0.66 * w, 0.85 * h) for side in (-1, 1))
        bridge = _ellipse(u, v - y + 0.5 * h, 0.55 * w, 0.7 * h)
        colour = torch.lerp(coat, (0.98 * self.pale()).expand_as(coat), 0.95 * self["pale"][:, None])
        self.layer(
            _union(_union(left, right, 0.06), bridge, 0.08), 1.05 * colour,
            self.bulge(x, y, 1.1 * w, 1.2 * h) + 0.05,
        )  # fmt: skip
        ink = 1.5 * self.colour(_INK)
        self.layer(
            _capsule(u, v, 0.0, y - 0.4 * h, 0.0, y + 0.45 * h, 0.016, 0.016), ink, None, 0.8, outlined=False
        )
        lips = _ellipse(u.abs() - 0.38 * w, v - y - 0.28 * h, 0.38 * w, 0.35 * h).abs() - 0.016
        self.layer(torch.maximum(lips, y + 0.3 * h - v), ink, None, 0.8, outlined=False)

    def nose(self) -> None:
        """Tip of the nose, dark or pink, with a highlight."""
        x, y, _, h = self._muzzle()
        size, y = self["nose_size"], y - 0.45 * h
        u, v = self.u - x, self.v - y
        colour = torch.lerp(1.3 * self.colour(_INK), self.colour(_PINK), self["pink_nose"][:, None])
        tip = _union(
            _ellipse(u, v + 0.15 * size, 1.25 * size, 0.78 * size),
            _ellipse(u, v - 0.4 * size, 0.6 * size, 0.6 * size),
            0.05,
        )
        self.layer(tip, colour, self.bulge(x, y, 1.3 * size, size))
        shine = _ellipse(u + 0.3 * size, v + 0.35 * size, 0.45 * size, 0.24 * size)
        self.layer(shine, 0.4 * colour + 0.6, None, 0.6 * self.gloss, outlined=False)

    def whiskers(self) -> None:
        """Three whiskers on either side, light on dark fur and dark on light fur."""
        x, y, w, _ = self._muzzle()
        hair = 0.7 * torch.sigmoid(14 * (0.5 - self["value"]))[:, None] + 0.22
        for side in (-1, 1):
            for i in (-1, 0, 1):
                root = x + side * 0.6 * w
                one = _capsule(
                    self.u, self.v, root, y + 0.03 * i, root + side * 0.36, y - 0.02 + 0.11 * i, 0.013, 0.008
                )
                self.layer(one, hair.expand(-1, 3, -1, -1), None, 0.7 * self["whiskers"], outlined=False)

    def eye(self, side: int) -> None:
        """Dark rim, iris, pupil and highlight of the left (-1) or right (1) eye."""
        radius, gaze = self["eye_size"], self["gaze_x"] * self["eye_size"]
        u = self.u - side * self["eye_spread"] - 0.1 * self["yaw"]
        v = self.v + 0.11 + 0.04 * self["pitch"]
        sine, cosine = torch.sin(-side * self["eye_slant"]), torch.cos(self["eye_slant"])
        a, b = cosine * u + sine * v, cosine * v - sine * u
        ink = self.colour(_INK)
        self.layer(_ellipse(a, b, 1.25 * radius, 1.15 * radius), ink, None, 0.9, outlined=False)
        self.layer(
            _ellipse(a, b, radius, 0.92 * radius), self.colour("iris"), (-0.5 * v / radius).clamp(-0.6, 0.6),
            outlined=False,
        )  # fmt: skip
        pupil = _ellipse(u - gaze, v, radius * self["pupil_width"], 0.78 * radius)
        self.layer(pupil, 0.5 * ink, outlined=False)
        shine = _ellipse(u - gaze + 0.32 * radius, v + 0.32 * radius, 0.26 * radius, 0.26 * radius)
        self.layer(shine, torch.ones_like(ink), None, 0.95, outlined=False)


def _ellipse(x: Tensor, y: Tensor, rx: Tensor | float, ry: Tensor | float) -> Tensor:
    """Distance to an ellipse around the origin, exact on its edge and to first order beside it."""
    inner = ((x / rx).square() + (y / ry).square() + 1e-9).sqrt()
    slope = ((x / rx**2).square() + (y / ry**2).square() + 1e-9).sqrt()
    return inner * (inner - 1) / slope


def _capsule(
    x: Tensor,
    y: Tensor,
    x0: Tensor | float,
    y0: Tensor,
    x1: Tensor | float,
    y1: Tensor,
    radius0: Tensor | float,
    radius1: Tensor | float,
) -> Tensor:
    """Distance to a rod from (x0, y0) to (x1, y1) whose radius goes from ``radius0`` to ``radius1``."""
    dx, dy, px, py = x1 - x0, y1 - y0, x - x0, y - y0
    along = ((px * dx + py * dy) / (dx * dx + dy * dy + 1e-9)).clamp(0, 1)
    off = ((px - along * dx).square() + (py - along * dy).square() + 1e-9).sqrt()
    return off - (radius0 + (radius1 - radius0) * along)


def _union(a: Tensor, b: Tensor, blend: float) -> Tensor:
    """Union of two shapes whose joint is rounded over the distance ``blend``."""
    overlap = (blend - (a - b).abs()).clamp_min(0) / blend
    return torch.minimum(a, b) - overlap * overlap * blend * 0.25


def _stylise(image: Tensor, factors: Factors, resolution: int) -> Tensor:
    """The look of each style, on painted portraits (N, 3, R, R) in [0, 1]."""
    looks = (_same, _cartoon, _sketch, _painting, _pixel_art)  # in the order of STYLES
    result = image.clone()
    for index, look in enumerate(looks):
        chosen = factors.style == index
        if chosen.any():
            result[chosen] = look(image[chosen])
    return result.clamp(0, 1)


def _same(image: Tensor) -> Tensor:
    return image


def _cartoon(image: Tensor) -> Tensor:
    """More saturated and lighter colours."""
    grey = image.mean(1, keepdim=True)
    return (image - grey) * 1.5 + grey * 0.9 + 0.09


def _sketch(image: Tensor) -> Tensor:
    """Pencil on cream paper: hatched where it is dark."""
    axis = (torch.arange(image.shape[-1], device=image.device) + 0.5) / image.shape[-1] * 2 - 1
    hatch = 0.5 + 0.5 * torch.sin(26 * (0.7 * axis + axis[:, None]))
    grey = image.mean(1, keepdim=True)
    graphite = 0.95 * (0.72 - grey).clamp(0, 1) * (0.35 + 0.65 * hatch) + 0.25 * torch.sigmoid(
        20 * (0.3 - grey)
    )
    return (0.97 - graphite) * image.new_tensor([1.0, 0.985, 0.95])[:, None, None]


def _painting(image: Tensor) -> Tensor:
    """A few strong, flat colours."""
    flat = (torch.floor(image * 5) + 0.5) / 5
    mixed = 0.4 * image + 0.6 * flat
    return mixed + 0.5 * (mixed - mixed.mean(1, keepdim=True))


def _pixel_art(image: Tensor) -> Tensor:
    """Large square cells."""
    cells = F.adaptive_avg_pool2d(image, _CELLS)
    return F.interpolate(cells, image.shape[-2:], mode="nearest")
