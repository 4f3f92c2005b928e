"""Parameters of the species: means and standard deviations of their shapes, and typical coats.

Every row has a value for each of ``SPECIES``, in that order.
"""

SPECIES = ("dog", "cat", "fox", "bear", "rabbit", "mouse")

# Mean shape of a species, in half picture widths; angles in radians, of ears from straight up, outwards.
# Species overlap in all of these, and none alone identifies a species. A classifier or a generator thus needs
# them all, and a generator of one species has seen something of what the others look like.
MEANS = {
    #                  dog    cat    fox    bear  rabbit  mouse
    "head_width":    (0.56,  0.60,  0.54,  0.64,  0.52,  0.50),
    "head_height":   (0.58,  0.52,  0.50,  0.60,  0.56,  0.52),
    "jaw_width":     (0.42,  0.40,  0.24,  0.48,  0.38,  0.26),
    "ear_bend":      (1.00,  0.00,  0.00,  0.00,  0.40,  0.00),
    "ear_length":    (0.50,  0.46,  0.54,  0.16,  0.74,  0.16),
    "ear_spread":    (0.40,  0.36,  0.36,  0.46,  0.20,  0.46),
    "ear_width":     (0.19,  0.22,  0.21,  0.21,  0.13,  0.31),
    "muzzle_width":  (0.34,  0.22,  0.19,  0.32,  0.22,  0.17),
    "muzzle_height": (0.30,  0.16,  0.26,  0.26,  0.17,  0.22),
    "muzzle_drop":   (0.27,  0.24,  0.34,  0.28,  0.25,  0.33),
    "nose_size":     (0.135, 0.070, 0.085, 0.125, 0.065, 0.080),
    "eye_size":      (0.100, 0.150, 0.105, 0.080, 0.125, 0.100),
    "eye_slant":     (0.00,  0.28,  0.38,  0.00,  0.00,  0.00),
    "eye_spread":    (0.245, 0.265, 0.235, 0.245, 0.26,  0.225),
    "pupil_width":   (0.66,  0.32,  0.40,  0.74,  0.70,  0.74),
}  # fmt: skip
DEVIATIONS = {
    "head_width": 0.04, "head_height": 0.04, "jaw_width": 0.05, "ear_length": 0.05, "ear_spread": 0.03,
    "ear_width": 0.02, "muzzle_width": 0.04, "muzzle_height": 0.04, "muzzle_drop": 0.025, "nose_size": 0.02,
    "eye_size": 0.018, "eye_slant": 0.10, "eye_spread": 0.02, "pupil_width": 0.11,
}  # fmt: skip
BEND_DEVIATION = (0.70, 0.20, 0.10, 0.05, 0.50, 0.05)
# What does not vary within a species.
FIXED = {
    "ear_angle":     (0.75,  0.42,  0.40,  0.75,  0.16,  0.80),
    "ear_tip":       (0.12,  0.02,  0.02,  0.19,  0.10,  0.31),
    "whiskers":      (0.0,   1.0,   0.3,   0.0,   0.6,   0.8),
    "tongue":        (1.0,   0.0,   0.4,   0.3,   0.0,   0.0),
}  # fmt: skip
# Shifts of the coat's scores in each species. They overlap, so that no colour identifies a species.
SHIFTS = {
    "fur_light":      (0.0,  0.1,  0.2, -0.5,  0.5,  0.2),
    "fur_warm":       (0.0,  0.1, -0.6,  0.0,  0.3,  0.3),
    "fur_saturation": (0.0,  0.0,  0.9,  0.3, -0.3, -0.6),
    "stripes":       (-0.6,  0.5, -1.5, -1.5, -1.0, -1.2),
    "spots":          (0.0, -0.4, -1.5, -1.5, -0.4, -0.8),
    "iris":          (-0.5,  0.7,  0.2, -0.8, -0.4, -0.8),
    "pale":           (0.0,  0.0,  1.2, -0.8,  0.0,  0.0),
    "nose_pink":     (-1.0,  1.0, -1.5, -1.5,  1.5,  1.0),
}  # fmt: skip
