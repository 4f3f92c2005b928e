"""Renderer of animal portraits: factors in, images out; vectorised over the batch, at any resolution.

Everything is a signed distance (negative inside) painted over the picture so far, back to front: background,
body, ears, head, muzzle, eyes. Coordinates are [-1, 1], x to the right and y down, so a portrait is the same
at any size.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from zsgan.menagerie.factors import EARS, EYES, FURS, PATTERNS, SHAPE, SPECIES, STYLES, Factors

_FUR_COLOURS = {
    "black": (0.14, 0.13, 0.14),
    "white": (0.93, 0.92, 0.90),
    "grey": (0.53, 0.55, 0.59),
    "brown": (0.43, 0.27, 0.16),
    "golden": (0.88, 0.70, 0.38),
    "ginger": (0.87, 0.45, 0.15),
}
_EYE_COLOURS = {
    "brown": (0.36, 0.19, 0.07),
    "blue": (0.30, 0.62, 0.95),
    "green": (0.40, 0.75, 0.28),
    "amber": (0.96, 0.70, 0.14),
}
# Mean shape of each species, in half picture widths; angles in radians from straight up, outwards.
_MEAN_SHAPE = {
    #                  dog    cat    fox    bear  rabbit  mouse
    "head_width":    (0.51,  0.53,  0.50,  0.58,  0.45,  0.43),
    "head_height":   (0.53,  0.47,  0.47,  0.54,  0.48,  0.46),
    "jaw_width":     (0.35,  0.36,  0.22,  0.40,  0.36,  0.23),
    "ear_spread":    (0.36,  0.34,  0.34,  0.42,  0.20,  0.42),
    "ear_angle":     (0.42,  0.26,  0.28,  0.70,  0.14,  0.73),
    "ear_length":    (0.34,  0.34,  0.46,  0.12,  0.64,  0.16),
    "ear_base":      (0.17,  0.18,  0.18,  0.17,  0.11,  0.25),
    "ear_tip":       (0.05,  0.03,  0.02,  0.15,  0.09,  0.25),
    "muzzle_width":  (0.27,  0.18,  0.16,  0.25,  0.18,  0.14),
    "muzzle_height": (0.24,  0.12,  0.20,  0.20,  0.13,  0.17),
    "muzzle_drop":   (0.25,  0.21,  0.29,  0.25,  0.23,  0.29),
    "nose_size":     (0.105, 0.055, 0.065, 0.095, 0.050, 0.060),
    "eye_size":      (0.086, 0.118, 0.082, 0.058, 0.100, 0.080),
    "eye_aspect":    (1.00,  0.88,  0.76,  1.00,  1.05,  1.08),
    "eye_slant":     (0.00,  0.24,  0.34,  0.00,  0.00,  0.00),
    "eye_spread":    (0.21,  0.225, 0.20,  0.21,  0.215, 0.19),
    "pupil_width":   (0.62,  0.24,  0.36,  0.75,  0.70,  0.78),
}  # fmt: skip
_SHAPE_SD = {
    "head_width": 0.030, "head_height": 0.030, "jaw_width": 0.030, "ear_spread": 0.025, "ear_angle": 0.13,
    "ear_length": 0.045, "ear_base": 0.015, "ear_tip": 0.012, "muzzle_width": 0.025, "muzzle_height": 0.022,
    "muzzle_drop": 0.020, "nose_size": 0.010, "eye_size": 0.011, "eye_aspect": 0.05, "eye_slant": 0.07,
    "eye_spread": 0.020, "pupil_width": 0.06,
}  # fmt: skip
_PINK_NOSE = {"dog": 0.0, "cat": 0.85, "fox": 0.0, "bear": 0.0, "rabbit": 0.9, "mouse": 0.95}
_WHISKERS = {"dog": 0.0, "cat": 1.0, "fox": 0.4, "bear": 0.0, "rabbit": 0.7, "mouse": 0.8}
_LONG_FOLDED_EAR = {"dog": 0.42, "cat": 0.20, "fox": 0.34, "bear": 0.12, "rabbit": 0.56, "mouse": 0.16}

_PINK, _TONGUE, _MOUTH, _INK = (0.89, 0.53, 0.53), (0.92, 0.42, 0.46), (0.28, 0.07, 0.08), (0.07, 0.06, 0.06)
_INNER_EAR = (0.86, 0.57, 0.53)


def draw(factors: Factors, resolution: int = 64) -> Tensor:
    """Draw the portraits.

    Args:
        factors: N portraits; on any device.
        resolution: pixels a side, a multiple of 16 (the cells of pixel art).

    Returns:
        (N, 3, resolution, resolution), in [-1, 1], on the device of ``factors``.

    Raises:
        ValueError: ``resolution`` is not a positive multiple of 16.
    """
    if resolution < 16 or resolution % 16:
        raise ValueError(f"resolution must be a positive multiple of 16, got {resolution}")
    return _stylise(_Portrait(factors, resolution).paint(), factors, resolution) * 2 - 1


class _Portrait:
    """One batch being painted; every attribute broadcasts over (N, H, W)."""

    image: Tensor  # (N, 3, H, W), the picture so far
    coat: Tensor  # (N, 3, H, W), fur of the head

    def __init__(self, f: Factors, resolution: int):
        self.f, self.pixel, device = f, 2.6 / resolution, f.species.device
        axis = (torch.arange(resolution, device=device) + 0.5) / resolution * 2 - 1
        self.Y, self.X = (grid[None] for grid in torch.meshgrid(axis, axis, indexing="ij"))
        fur, low, middle, _ = _textures(resolution, device)
        n = fur.shape[0]
        self.strands, self.clouds, self.blots = fur[f.texture % n], low[f.texture // n], middle[f.texture % n]
        waves = low[f.texture % n]
        self.photo, self.cartoon, self.sketch, self.painting, self.pixel_art = (
            (f.style == i).float()[:, None, None] for i in range(len(STYLES))
        )
        self.shading = (
            self.photo + 0.8 * self.painting + 0.35 * self.cartoon + 0.7 * self.pixel_art + 0.6 * self.sketch
        )
        self.outline = self.cartoon + self.sketch
        self.outline_width = 0.030 * self.cartoon + 0.018 * self.sketch
        self.fuzz = 0.008 * self.strands * (self.photo + self.painting)

        s = {name: self._scene(name) for name in ("tilt", "shift_x", "shift_y", "scale")}
        # Brush strokes bend the coordinates of paintings.
        self.x0 = (self.X + 0.03 * self.clouds * self.painting - s["shift_x"]) / s["scale"]
        self.y0 = (self.Y + 0.03 * waves * self.painting - 0.06 - s["shift_y"]) / s["scale"]
        cos, sin = torch.cos(s["tilt"]), torch.sin(s["tilt"])
        self.x, self.y = cos * self.x0 + sin * self.y0, cos * self.y0 - sin * self.x0
        self.yaw = self._scene("yaw")
        self.light_x = self._scene("light_x")
        self.light_y = -(1 - 0.6 * self.light_x.square()).sqrt() * 0.8
        self.light = self._scene("light_strength")
        self.shape = {name: self._shape(name) for name in SHAPE}
        self.folded = (f.ears == EARS.index("folded")).float()[:, None, None]

        fur_colour = torch.tensor([_FUR_COLOURS[name] for name in FURS], device=device)[f.fur]
        self.base = (fur_colour + f.column("fur_lightness")[:, None]).clamp(0.05, 0.97)[:, :, None, None]
        self.grain = (
            1
            + (0.05 * self.strands + 0.04 * self.blots) * (self.photo + 0.6 * self.painting)
            + 0.07 * self.clouds * self.photo
        )[:, None]
        self.fur = self.base * self.grain
        self.pale = (self.base * 0.42 + 0.56) * self.grain

    def _scene(self, name: str) -> Tensor:
        return self.f.column(name)[:, None, None]

    def _species(self, table: dict[str, float]) -> Tensor:
        return torch.tensor([table[name] for name in SPECIES], device=self.f.species.device)[self.f.species][
            :, None, None
        ]

    def _shape(self, name: str) -> Tensor:
        return self._species(dict(zip(SPECIES, _MEAN_SHAPE[name], strict=True))) + _SHAPE_SD[
            name
        ] * self._scene(name)

    def _colour(self, rgb: tuple[float, float, float]) -> Tensor:
        return torch.tensor(rgb, device=self.f.species.device)[None, :, None, None]

    def _layer(
        self,
        distance: Tensor,
        colour: Tensor,
        shade: Tensor | None = None,
        alpha: Tensor | float = 1.0,
        outline: bool = True,
        fuzz: float = 1.0,
    ) -> None:
        """Paint the inside of a shape, antialiased over a pixel, and its contour in the drawn styles."""
        if fuzz:
            distance = distance + fuzz * self.fuzz
        cover = (0.5 - distance / self.pixel).clamp(0, 1) * alpha
        if shade is not None:
            colour = colour * (1 + self.light * self.shading * shade)[:, None]
        self.image = self.image + (colour - self.image) * cover[:, None]
        if outline:
            line = (
                (0.5 - (distance.abs() - self.outline_width) / self.pixel).clamp(0, 1) * self.outline * alpha
            )
            self.image = self.image * (1 - 0.88 * line[:, None])

    def _bulge(self, cx: Tensor | float, cy: Tensor | float, rx: Tensor, ry: Tensor) -> Tensor:
        """Lambert-like shading of an ellipsoid lit from above."""
        u, v = (self.x - cx) / rx, (self.y - cy) / ry
        return (self.light_x * u + self.light_y * v) * 0.8 - 0.35 * (u * u + v * v).clamp(0, 1) + 0.12

    def paint(self) -> Tensor:
        """The unstyled picture, (N, 3, H, W)."""
        background = torch.stack([self._scene(f"background_{c}") for c in ("red", "green", "blue")], 1)
        soft = self.photo + self.painting
        glow = (
            1
            + 0.25 * (self.light_x * self.X + self.light_y * self.Y) * (soft + 0.3)
            + 0.09 * self.clouds * soft
        )
        self.image = background * glow[:, None]
        chest = torch.full_like(self.x, 0.62)
        self._layer(
            _ellipse(self.x0, self.y0 - 1.05, chest, chest),
            self.fur * 0.86,
            self._bulge(0, 1.05, chest, chest),
        )
        self._ears(folded=False)
        self._head()
        self._ears(folded=True)
        self._muzzle()
        self._eyes()
        return self.image

    def _ears(self, folded: bool) -> None:
        """Pricked ears lie behind the head, folded ones hang in front of it."""
        s = self.shape
        absent = 5 * (1 - self.folded if folded else self.folded)  # moves the shape out of the picture
        angle = 2.15 + (s["ear_angle"] - self._shape_mean("ear_angle")) if folded else s["ear_angle"]
        length = (
            self._species(_LONG_FOLDED_EAR) + s["ear_length"] - self._shape_mean("ear_length")
            if folded
            else s["ear_length"]
        )
        base_radius, tip_radius = (
            (0.11, s["ear_tip"] * 0.5 + 0.12) if folded else (s["ear_base"], s["ear_tip"])
        )
        root_y = -s["head_height"] * (0.40 if folded else 0.62)
        for side in (-1, 1):
            root_x = side * s["ear_spread"] - 0.05 * self.yaw
            tip_x, tip_y = root_x + side * torch.sin(angle) * length, root_y - torch.cos(angle) * length
            distance, along = _capsule(self.x, self.y, root_x, root_y, tip_x, tip_y, base_radius, tip_radius)
            shade = self.light_x * side * 0.4 + self.light_y * (0.4 - along) - 0.1
            self._layer(distance + absent, self.fur * (0.76 if folded else 1.0), shade, fuzz=1.2)
            if not folded:
                inner, _ = _capsule(
                    self.x, self.y,
                    root_x + 0.1 * (tip_x - root_x), root_y + 0.1 * (tip_y - root_y),
                    root_x + 0.72 * (tip_x - root_x), root_y + 0.72 * (tip_y - root_y),
                    base_radius * 0.55, tip_radius * 0.55,
                )  # fmt: skip
                flesh = (self._colour(_INNER_EAR) * 0.6 + self.base * 0.4) * self.grain
                self._layer(inner + absent, flesh, None, 0.9, outline=False)

    def _shape_mean(self, name: str) -> Tensor:
        return self._species(dict(zip(SPECIES, _MEAN_SHAPE[name], strict=True)))

    def _head(self) -> None:
        s, x, y = self.shape, self.x, self.y
        skull = _ellipse(x, y, s["head_width"], s["head_height"])
        jaw = _ellipse(
            x - 0.03 * self.yaw, y - 0.55 * s["head_height"], s["jaw_width"], 0.52 * s["head_height"]
        )
        head = _union(skull, jaw, 0.15)
        fox = (self.f.species == SPECIES.index("fox")).float()[:, None, None]
        cheeks = _union(head, _ellipse(x.abs() - 0.38, y - 0.18, x.new_tensor(0.20), x.new_tensor(0.13)), 0.1)
        head = torch.where(fox > 0, cheeks, head)
        self.coat = self._coat()
        self._layer(head, self.coat, self._bulge(0, 0.05, 1.1 * s["head_width"], 1.2 * s["head_height"]))
        mask = _union(
            _ellipse(x.abs() - 0.27, y - 0.27, x.new_tensor(0.20), x.new_tensor(0.17)),
            _ellipse(x, y - 0.38, x.new_tensor(0.16), x.new_tensor(0.16)),
            0.1,
        )
        self._layer(mask + 5 * (1 - fox), self.pale * 0.5 + 0.46, None, 0.9, outline=False)

    def _coat(self) -> Tensor:
        """Fur of the head with its pattern and blaze, (N, 3, H, W)."""
        x, y = self.x, self.y
        plain, striped, spotted, patched = (
            (self.f.pattern == i).float()[:, None, None] for i in range(len(PATTERNS))
        )
        where = ((y < -0.02) + 0.8 * (x.abs() > 0.33)).clamp(0, 1)
        wave = torch.sin(26 * x.abs() + 2 * y + 0.9 * self.clouds) * where
        side = torch.where(self.f.texture % 2 == 0, 1.0, -1.0)[:, None, None]
        patch = _ellipse(x - side * 1.05 * self.shape["eye_spread"] - 0.08 * self.yaw, y + 0.10,
                         0.20 + 0.02 * self.clouds, x.new_tensor(0.24))  # fmt: skip
        marks = (
            0.78 * ((wave - 0.2) * 4).clamp(0, 1) * striped
            + 0.80 * ((self.blots - 0.6) * 4).clamp(0, 1) * spotted
            + 0.85 * (0.5 - patch / 0.06).clamp(0, 1) * patched
        )[:, None]
        dark = self.base.mean(1, keepdim=True) < 0.35
        coat = (
            self.fur
            + (torch.where(dark, self.base * 0.4 + 0.5, self.base * 0.38) * self.grain - self.fur) * marks
        )
        blaze = _ellipse(x - 0.10 * self.yaw, y + 0.25, x.new_tensor(0.07), x.new_tensor(0.34))
        blaze = (0.85 * (0.5 - blaze / 0.04).clamp(0, 1) * self._scene("blaze"))[:, None]
        return coat + (0.5 * self.pale + 0.46 - coat) * blaze

    def _muzzle(self) -> None:
        s, x, y = self.shape, self.x, self.y
        width, height, cx, cy = s["muzzle_width"], s["muzzle_height"], 0.12 * self.yaw, s["muzzle_drop"]
        opened = self._scene("mouth_open")
        closed = 5.0 * (opened < 0.05)
        lip = cy + 0.72 * height
        self._layer(_ellipse(x - cx, y - lip - 0.07 * opened, 0.52 * width, 0.02 + 0.15 * opened) + closed,
                    self._colour(_MOUTH), fuzz=0.3)  # fmt: skip
        self._layer(_ellipse(x - cx, y - lip - 0.13 * opened, 0.30 * width, 0.02 + 0.10 * opened) + closed,
                    self._colour(_TONGUE), outline=False, fuzz=0.3)  # fmt: skip
        white = self._scene("white_muzzle")[:, None]
        coat = self.coat + (0.4 * self.pale + 0.56 - self.coat) * white
        left, right = (
            _ellipse(x - cx - side * 0.36 * width, y - cy, 0.64 * width, 0.85 * height) for side in (-1, 1)
        )
        shape = _union(left, right, 0.06)
        shape = _union(shape, _ellipse(x - cx, y - cy + 0.5 * height, 0.55 * width, 0.7 * height), 0.08)
        self._layer(shape, coat * 1.06, self._bulge(cx, cy, 1.1 * width, 1.2 * height) + 0.05)
        self._mouth_line(cx, cy, width, height)

        nose_y, nose = cy - 0.45 * height, s["nose_size"]
        pink = self._species(_PINK_NOSE)[:, None]
        colour = self._colour(_INK) * 1.3 * (1 - pink) + self._colour(_PINK) * pink
        tip = _union(_ellipse(x - cx, y - nose_y + 0.15 * nose, 1.25 * nose, 0.75 * nose),
                     _ellipse(x - cx, y - nose_y - 0.4 * nose, 0.6 * nose, 0.6 * nose), 0.05)  # fmt: skip
        self._layer(tip, colour, self._bulge(cx, nose_y, 1.3 * nose, nose), fuzz=0.2)
        gleam = _ellipse(x - cx + 0.3 * nose, y - nose_y + 0.4 * nose, 0.4 * nose, 0.2 * nose)
        self._layer(gleam, colour * 0.4 + 0.6, None, 0.6 * (self.photo + self.painting + 0.5 * self.cartoon),
                    outline=False, fuzz=0)  # fmt: skip
        bright = self.base.mean(1, keepdim=True) > 0.6
        hair = torch.where(bright, 0.25, 0.95).expand(-1, 3, -1, -1)
        for side in (-1, 1):
            for k in (-1, 0, 1):
                root = cx + side * 0.6 * width
                whisker, _ = _capsule(
                    x, y, root, cy + 0.03 * k, root + side * 0.38, cy - 0.03 + 0.10 * k, 0.011, 0.003
                )
                self._layer(whisker, hair, None, 0.75 * self._species(_WHISKERS), outline=False, fuzz=0)

    def _mouth_line(self, cx: Tensor, cy: Tensor, width: Tensor, height: Tensor) -> None:
        ink = self._colour(_INK) * 1.5
        cleft, _ = _capsule(self.x, self.y, cx, cy - 0.45 * height, cx, cy + 0.45 * height, 0.010, 0.010)
        self._layer(cleft, ink, None, 0.85, outline=False, fuzz=0.2)
        arc = _ellipse(
            (self.x - cx).abs() - 0.38 * width, self.y - cy - 0.28 * height, 0.38 * width, 0.35 * height
        )
        arc = torch.maximum(arc.abs() - 0.010, cy + 0.3 * height - self.y)
        self._layer(arc, ink, None, 0.85, outline=False, fuzz=0.2)

    def _eyes(self) -> None:
        s, x, y = self.shape, self.x, self.y
        iris = torch.tensor([_EYE_COLOURS[name] for name in EYES], device=x.device)[self.f.eyes][
            :, :, None, None
        ]
        radius, aspect = s["eye_size"], s["eye_aspect"]
        for side in (-1, 1):
            u, v = x - side * s["eye_spread"] - 0.08 * self.yaw, y + 0.10
            slant = -side * s["eye_slant"]
            cos, sin = torch.cos(slant), torch.sin(slant)
            p, q = cos * u + sin * v, cos * v - sin * u
            self._layer(_ellipse(p, q, 1.22 * radius, 1.22 * radius * aspect), self._colour(_INK), None, 0.9,
                        outline=False, fuzz=0.3)  # fmt: skip
            self._layer(_ellipse(p, q, radius, radius * aspect), iris, (-0.5 * v / radius).clamp(-0.6, 0.6),
                        outline=False, fuzz=0)  # fmt: skip
            gaze_x, gaze_y = self._scene("gaze_x") * radius, self._scene("gaze_y") * radius
            pupil = _ellipse(u - gaze_x, v - gaze_y, 0.95 * radius * s["pupil_width"], 0.72 * radius * aspect)
            self._layer(pupil, self._colour(_INK) * 0.5, None, outline=False, fuzz=0)
            glint = _ellipse(
                u - gaze_x - 0.35 * self.light_x * radius, v - gaze_y - 0.3 * self.light_y * radius,
                0.24 * radius, 0.24 * radius,
            )  # fmt: skip
            self._layer(glint, torch.ones_like(iris), None, 0.95, outline=False, fuzz=0)


def _stylise(image: Tensor, f: Factors, resolution: int) -> Tensor:
    """Turn the painted picture into its style, (N, 3, H, W) in [0, 1]."""
    image = image.clamp(0, 1)
    _, _, middle, grit = _textures(resolution, image.device)
    n = grit.shape[0]
    grit, middle = grit[f.texture // n][:, None], middle[f.texture % n][:, None]
    grey = image.mean(1, keepdim=True)
    axis = (torch.arange(resolution, device=image.device) + 0.5) / resolution * 2 - 1
    hatch = 0.5 + 0.5 * torch.sin(32 * (0.7 * axis[None, :] + axis[:, None]))
    cells = F.interpolate(
        F.avg_pool2d(image, resolution // 16), scale_factor=resolution // 16, mode="nearest"
    )
    tone = 0.95 - 0.5 * (0.75 - grey).clamp(0, 1) * (0.35 + 0.65 * hatch)
    pencil = torch.where(grey > 0.62, 0.95, tone) * (1 - 0.44 * ((0.45 - grey) * 3).clamp(0, 1)) + 0.02 * grit
    posters = (torch.floor((image + 0.05 * middle) * 5) + 0.5) / 5 + 0.02 * grit
    styled = {
        "photo": image + 0.010 * grit,
        "cartoon": (image - grey) * 1.35 + grey * 0.9 + 0.08,
        "sketch": pencil * image.new_tensor([1.0, 0.985, 0.95])[:, None, None],
        "painting": posters + 0.35 * (posters - posters.mean(1, keepdim=True)),
        "pixel art": (torch.floor(cells * 6) + 0.5) / 6,
    }
    out = torch.zeros_like(image)
    for i, style in enumerate(STYLES):
        out = torch.where((f.style == i)[:, None, None, None], styled[style], out)
    return out.clamp(0, 1)


@lru_cache(maxsize=8)
def _textures(resolution: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """64 textures each of fur strands, clouds, blots and grit, (64, R, R); alike at every resolution."""
    g = torch.Generator().manual_seed(5)
    n, full = 64, 128
    noise = torch.randn(n, 1, full, full, generator=g)
    kernel = torch.ones(1, 1, 11, 3) / 33**0.5
    strands = F.conv2d(F.pad(noise, (1, 1, 5, 5), mode="circular"), kernel)
    clouds, blots = (
        F.interpolate(torch.randn(n, 1, k, k, generator=g), (full, full), mode="bicubic", align_corners=False)
        for k in (7, 21)
    )
    grit = torch.randn(n, 1, full // 2, full // 2, generator=g)

    def at_resolution(texture: Tensor) -> Tensor:
        if texture.shape[-1] != resolution:
            texture = F.interpolate(texture, (resolution, resolution), mode="bilinear", antialias=True)
        return texture[:, 0].to(device)

    return at_resolution(strands), at_resolution(clouds), at_resolution(blots), at_resolution(grit)


def _ellipse(x: Tensor, y: Tensor, rx: Tensor, ry: Tensor) -> Tensor:
    """Approximate signed distance to an ellipse around the origin (first order at the contour)."""
    k0 = torch.sqrt((x / rx) ** 2 + (y / ry) ** 2 + 1e-9)
    k1 = torch.sqrt((x / rx**2) ** 2 + (y / ry**2) ** 2 + 1e-9)
    return k0 * (k0 - 1) / k1


def _capsule(
    x: Tensor,
    y: Tensor,
    ax: Tensor,
    ay: Tensor,
    bx: Tensor,
    by: Tensor,
    ra: Tensor | float,
    rb: Tensor | float,
) -> tuple[Tensor, Tensor]:
    """Signed distance to a stroke from a to b, thick ra to rb; and the position along it in [0, 1]."""
    vx, vy, px, py = bx - ax, by - ay, x - ax, y - ay
    along = ((px * vx + py * vy) / (vx * vx + vy * vy + 1e-9)).clamp(0, 1)
    return torch.sqrt((px - along * vx) ** 2 + (py - along * vy) ** 2 + 1e-9) - (
        ra + (rb - ra) * along
    ), along


def _union(a: Tensor, b: Tensor, k: float) -> Tensor:
    """Smooth union of two signed distances, rounded over the length ``k``."""
    h = (k - (a - b).abs()).clamp_min(0) / k
    return torch.minimum(a, b) - h * h * k * 0.25
