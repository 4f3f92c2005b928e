"""Files as people have them, at a generator's size, and faces in the place of FFHQ."""

import math
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from zsgan.assets.manifest import AssetError
from zsgan.inversion import faces
from zsgan.inversion.faces import align, square_of
from zsgan.inversion.pictures import files_in, read, read_all

EYES_AND_MOUTH = torch.tensor([[40.0, 50.0], [60.0, 50.0], [43.0, 75.0], [57.0, 75.0]])


def colour(image, x, y):
    return [round(float(v), 1) for v in image[:, y, x]]


@pytest.fixture
def wide():
    """A red, a green and a blue square side by side."""
    picture = Image.new("RGB", (60, 20))
    for i, name in enumerate(("red", "lime", "blue")):
        picture.paste(name, (20 * i, 0, 20 * i + 20, 20))
    return picture


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tiff", "bmp"])
def test_every_usual_format_is_read(tmp_path, ending):
    Image.new("RGB", (16, 16), "red").save(tmp_path / f"a.{ending}")
    image = read(tmp_path / f"a.{ending}", 8)
    assert image.shape == (3, 8, 8) and torch.allclose(image[:, 4, 4], torch.tensor([1.0, -1, -1]), atol=0.05)


def test_a_wide_picture_is_cropped_or_letterboxed(wide, tmp_path):
    wide.save(tmp_path / "wide.png")
    cropped, boxed = (read(tmp_path / "wide.png", 30, fit) for fit in ("crop", "letterbox"))
    assert colour(cropped, 15, 15) == [-1, 1, -1] and colour(cropped, 2, 2) == [-1, 1, -1]
    assert [colour(boxed, x, 15) for x in (4, 15, 26)] == [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    assert colour(boxed, 15, 2) == colour(boxed, 15, 28) == [1, 1, 1]
    with pytest.raises(ValueError, match="fit must be one of crop, letterbox, face, got 'stretch'"):
        read(tmp_path / "wide.png", 30, "stretch")


def test_exif_alpha_and_grey_are_shown(wide, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    wide.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    turned = read(tmp_path / "turned.jpg", 30, "letterbox")
    assert turned[0, 4, 15] > 0.8 and turned[2, 26, 15] > 0.8
    Image.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (read(tmp_path / "clear.png", 9) == 1).all()
    Image.new("L", (9, 9), 0).save(tmp_path / "grey.png")
    assert (read(tmp_path / "grey.png", 9) == -1).all()


def test_sixteen_bits_lose_only_the_lower_eight(tmp_path):
    values = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(values).save(tmp_path / name)
        image = read(tmp_path / name, 64)
        expected = torch.from_numpy((values >> 8).astype(np.float32)) / 127.5 - 1
        assert torch.allclose(image, expected.expand(3, -1, -1), atol=1e-6)


def test_bad_files_are_named_and_the_others_are_read(wide, tmp_path):
    wide.save(tmp_path / "b.png")
    (tmp_path / "a.jpg").write_bytes(b"not a picture")
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    (tmp_path / "note.txt").write_text("no picture")
    files, pictures, faults = read_all(files_in(tmp_path), 16)
    assert [file.name for file in files] == ["b.png"] and pictures.shape == (1, 3, 16, 16)
    assert len(faults) == 2 and "a.jpg cannot be read" in faults[0] and "c.png cannot be read" in faults[1]
    (tmp_path / "b.png").unlink()
    with pytest.raises(ValueError, match="no picture can be read: .*a.jpg cannot be read.*; and 1 more"):
        read_all(files_in(tmp_path), 16)


def test_a_folder_without_pictures_is_named(tmp_path):
    (tmp_path / "note.txt").write_text("no picture")
    with pytest.raises(FileNotFoundError, match="holds no image"):
        files_in(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent is missing"):
        files_in(tmp_path / "absent")
    with pytest.raises(NotADirectoryError, match="note.txt is a file"):
        files_in(tmp_path / "note.txt")


# Faces


def test_the_square_of_an_upright_face():
    """Eyes 20 px apart, mouth 25 px below: half a side is 1.8 x 25, the centre 2.5 px below the eyes."""
    corners = square_of(EYES_AND_MOUTH)
    expected = torch.tensor([[5.0, 7.5], [5.0, 97.5], [95.0, 97.5], [95.0, 7.5]])
    assert torch.allclose(corners, expected.double(), atol=1e-9)
    apart = EYES_AND_MOUTH.clone()
    apart[0, 0], apart[1, 0] = 20, 80  # 60 px: twice as much, 120
    assert torch.allclose(square_of(apart)[2] - square_of(apart)[0], torch.full((2,), 240.0).double())


def test_the_square_turns_and_grows_with_the_face():
    angle = math.radians(30)
    turn = torch.tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]).double()
    points = EYES_AND_MOUTH.double()
    moved = 2 * points @ turn + torch.tensor([7.0, -3.0])
    assert torch.allclose(
        square_of(moved), 2 * square_of(points) @ turn + torch.tensor([7.0, -3.0]), atol=1e-9
    )


def test_a_face_lands_where_ffhq_has_it():
    """Marked eyes and mouth of a tilted face are level after the alignment, also near the edge."""
    for shift in (0, -30):
        picture = Image.new("RGB", (200, 160), "white")
        points = torch.tensor([[70.0, 60.0], [100.0, 78.0], [62.0, 98.0], [80.0, 110.0]]) + shift
        draw = ImageDraw.Draw(picture)
        for (x, y), name in zip(points.tolist(), ("red", "blue", "black", "black"), strict=True):
            draw.ellipse((x - 4, y - 4, x + 4, y + 4), fill=name)
        face = np.asarray(align(picture, points, 128), float)
        assert face.shape == (128, 128, 3)
        red, blue = face[..., 0] - face[..., 1], face[..., 2] - face[..., 1]
        eyes = [np.argwhere(mark > 120).mean(0) for mark in (red, blue)]
        assert abs(eyes[0][0] - eyes[1][0]) < 6 and eyes[1][1] - eyes[0][1] > 20
        assert abs((eyes[0][1] + eyes[1][1]) / 2 - 64) < 6


def test_faces_need_landmarks_of_a_face():
    with pytest.raises(ValueError, match=r"points must be \(4, 2\)"):
        square_of(torch.zeros(5, 2))
    with pytest.raises(ValueError, match="eyes and mouth in one place"):
        square_of(torch.ones(4, 2))


def test_the_detector_is_asked_for_when_it_is_needed(wide, tmp_path, monkeypatch):
    wide.save(tmp_path / "a.png")
    monkeypatch.setattr(
        faces.importlib, "import_module", lambda name: exec("raise ModuleNotFoundError(name)")
    )
    with pytest.raises(ModuleNotFoundError, match=r"fit='face' .* pip install 'zsgan\[faces\]'"):
        read(tmp_path / "a.png", 8, "face")
    monkeypatch.setenv("ZSGAN_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(faces.importlib, "import_module", lambda name: Mock())
    with pytest.raises(AssetError, match="zsgan fetch face-detector"):
        read(tmp_path / "a.png", 8, "face")


def test_the_largest_face_is_taken_and_its_absence_named(wide, tmp_path, monkeypatch):
    """As YuNet answers: box, right eye, left eye, nose, right and left corner of the mouth, score."""
    answer = np.zeros((2, 15), np.float32)
    answer[0, 2:4], answer[1, 2:4] = 10, 40
    answer[1, 4:14] = [40, 50, 60, 50, 50, 60, 43, 75, 57, 75]

    class Cv2:
        class FaceDetectorYN:
            found = answer

            @classmethod
            def create(cls, file, config, size):
                return cls()

            def detect(self, pixels):
                return 1, self.found

    monkeypatch.setattr(faces.importlib, "import_module", lambda name: Cv2)
    monkeypatch.setattr(faces.manifest, "path", lambda name: tmp_path / name)
    assert torch.equal(faces.landmarks(wide), EYES_AND_MOUTH.double())
    Cv2.FaceDetectorYN.found = None
    wide.save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png shows no face that was found"):
        read(tmp_path / "a.png", 8, "face")
