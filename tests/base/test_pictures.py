"""Pixels are those that a viewer shows, and no file of a folder is left out without a word."""

import logging
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin
from PIL.Image import Transpose

from zsgan.base.images import Folder, file_names, from_bytes, read_image, save_images, to_bytes
from zsgan.base.pictures import ENDINGS, check_pairs, find, shown

Y, X = np.mgrid[:16, :24]
PIXELS = np.stack([10 * X, 15 * Y, 255 - 10 * X], 2).astype(np.uint8)
INSIDE = (Y - 8) ** 2 + (X - 12) ** 2 < 40
ON_WHITE = np.where(INSIDE[..., None], PIXELS, 255).astype(np.uint8)
STORED_AS = {  # for each orientation of EXIF: how the upright picture is stored
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}
LOSSLESS = {"jpg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True, "exact": True}}


def near(file, expected, tolerance=0):
    found = np.array(shown(file)).astype(int)
    return found.shape == expected.shape and np.abs(found - expected).max() <= tolerance


def png(depth, colour, rows, width, **chunks):
    """Bytes of a PNG: rows of packed pixels, and further chunks by their names."""

    def chunk(name, content):
        content = name.encode() + content
        return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = {"IHDR": header, **chunks, "IDAT": data, "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, content) for name, content in parts.items())


# Turned


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "tif"])
def test_a_picture_is_upright(tmp_path, ending, orientation):
    stored = Image.fromarray(PIXELS).transpose(STORED_AS[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{ending}"
    stored.save(file, exif=exif, **LOSSLESS.get(ending, {}))
    assert near(file, PIXELS, 4 if ending == "jpg" else 0)


def test_sizes_are_compared_as_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "upright.png")
    Image.fromarray(PIXELS).transpose(Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert torch.equal(*Folder(tmp_path)[:].unbind())


@pytest.mark.parametrize("exif", [b"rubbish", b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01"])
def test_damaged_exif_turns_nothing(tmp_path, exif, recwarn):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif, **LOSSLESS["jpg"])
    assert near(tmp_path / "a.jpg", PIXELS, 4) and len(Folder(tmp_path)) == 1
    assert not recwarn.list  # they would name no file


# Transparent


@pytest.mark.parametrize("below", [0, 200])
@pytest.mark.parametrize(("mode", "ending"), [
    ("RGBA", "png"), ("RGBA", "webp"), ("RGBA", "tif"), ("RGBA", "jp2"), ("LA", "png"), ("LA", "tif"),
])  # fmt: skip
def test_transparency_lies_on_white(tmp_path, mode, ending, below):
    colours = np.where(INSIDE[..., None], PIXELS, below).astype(np.uint8)
    picture = Image.fromarray(np.dstack([colours, 255 * INSIDE.astype(np.uint8)]))
    picture.convert(mode).save(tmp_path / f"a.{ending}", **LOSSLESS.get(ending, {}))
    expected = np.array(Image.fromarray(PIXELS).convert(mode[:-1]).convert("RGB"))
    assert near(tmp_path / f"a.{ending}", np.where(INSIDE[..., None], expected, 255))


def test_half_of_a_colour_lies_on_half_of_white(tmp_path):
    picture = Image.fromarray(PIXELS)
    picture.putalpha(51)
    picture.save(tmp_path / "a.png")
    assert near(tmp_path / "a.png", 0.2 * PIXELS + 0.8 * 255, 1)


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_a_transparent_place_of_a_palette_is_white(tmp_path, ending):
    picture = Image.fromarray(PIXELS).quantize(16)
    places, colours = np.array(picture), np.array(picture.convert("RGB"))
    picture.save(tmp_path / f"a.{ending}", transparency=int(places[0, 0]))
    assert near(tmp_path / f"a.{ending}", np.where((places == places[0, 0])[..., None], 255, colours))


def test_places_of_a_palette_have_their_own_transparency(tmp_path):
    picture = Image.fromarray(PIXELS).quantize(16)
    places, colours = np.array(picture), np.array(picture.convert("RGB"))
    picture.save(tmp_path / "a.png", transparency=bytes([0] * 8 + [255] * 8))
    assert near(tmp_path / "a.png", np.where((places < 8)[..., None], 255, colours))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_a_transparent_grey_is_meant_in_the_bits_of_the_file(tmp_path, depth):
    greys = np.arange(24) % 2**depth
    bits = (greys[:, None] >> np.arange(depth)[::-1]) & 1
    rows = np.packbits(bits.flatten())[None].repeat(4, 0)
    for key in (0, 1):
        (tmp_path / "a.png").write_bytes(png(depth, 0, rows, 24, tRNS=struct.pack(">H", key)))
        expected = np.where(greys == key, 255, greys * 255 // (2**depth - 1))
        assert near(tmp_path / "a.png", expected[None, :, None].repeat(4, 0).repeat(3, 2))


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_is_meant_in_the_bits_of_the_file(tmp_path, depth):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 2**depth, (4, 6, 3)).astype(f">u{depth // 8}")
    key = struct.pack(">HHH", *pixels[2, 3].tolist())
    (tmp_path / "a.png").write_bytes(png(depth, 2, pixels, 6, tRNS=key))
    expected = (pixels >> (depth - 8)).astype(int)
    expected[2, 3] = 255
    assert near(tmp_path / "a.png", expected)


# Colours


def other_profile():
    """That of sRGB with red and green exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace("sRGB".encode("utf-16-be"), "mine".encode("utf-16-be"))
    return profile.replace(b"rXYZ", b"?").replace(b"gXYZ", b"rXYZ").replace(b"?", b"gXYZ")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_colours_are_those_of_the_profile(tmp_path, mode):
    picture = Image.fromarray(PIXELS).convert(mode)
    picture.save(tmp_path / "a.png", icc_profile=other_profile())
    assert near(tmp_path / "a.png", np.array(picture.convert("RGB"))[..., [1, 0, 2]])


def test_a_profile_that_says_nothing_changes_nothing(tmp_path):
    of_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    of_lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    for profile in (of_srgb, of_srgb + bytes(3_000_000), of_lab, b"rubbish" * 20):
        Image.fromarray(PIXELS).save(tmp_path / "a.png", icc_profile=profile)
        assert near(tmp_path / "a.png", PIXELS)


@pytest.mark.parametrize(("mode", "file"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("YCbCr", "a.tif")])
def test_other_colours_become_red_green_and_blue(tmp_path, mode, file):
    Image.fromarray(PIXELS).convert(mode).save(tmp_path / file, **LOSSLESS.get(file[-3:], {}))
    assert near(tmp_path / file, PIXELS, 5)


def test_a_long_text_does_not_keep_a_picture_from_being_read(tmp_path):
    for add in ("add_text", "add_itxt"):
        info = PngImagePlugin.PngInfo()
        getattr(info, add)("workflow", "x" * 3_000_000, zip=True)
        Image.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=info)
        assert near(tmp_path / "a.png", PIXELS)


# Refused


@pytest.mark.parametrize("ending", ["gif", "png", "webp", "tif"])
def test_several_pictures_in_a_file_are_refused(tmp_path, ending):
    picture, other = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    picture.save(tmp_path / f"a.{ending}", save_all=True, append_images=[other])
    with pytest.raises(ValueError, match=f"a.{ending} holds 2 pictures, an animation or pages; save the one"):
        Folder(tmp_path)


def test_a_photograph_with_previews_is_its_first_picture(tmp_path):
    picture, other = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    picture.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[other], **LOSSLESS["jpg"])
    assert near(tmp_path / "a.jpg", PIXELS, 5)


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "gif", "tif", "bmp", "jp2", "ppm"])
def test_a_file_that_was_cut_off_is_named_at_once(tmp_path, ending):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in "abc":
        Image.fromarray(noise).save(tmp_path / f"{name}.{ending}")
    for name in "bc":
        whole = (tmp_path / f"{name}.{ending}").read_bytes()
        (tmp_path / f"{name}.{ending}").write_bytes(whole[: len(whole) * 19 // 20])
    message = rf"b\.{ending} cannot be read as an image .*; and 1 more: .*c\.{ending} cannot be read"
    with pytest.raises(ValueError, match=message):
        Folder(tmp_path)


def test_a_huge_picture_is_read_or_named(tmp_path, monkeypatch, recwarn):
    Image.fromarray(PIXELS).save(tmp_path / "a.png")  # of 384 pixels
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)  # beyond it Pillow warns, without a name
    assert near(tmp_path / "a.png", PIXELS) and len(Folder(tmp_path)) == 1 and not recwarn.list
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # beyond twice of it, it refuses
    with pytest.raises(ValueError, match="a.png cannot be read as an image .*decompression bomb"):
        shown(tmp_path / "a.png")


def test_a_flipped_bit_is_found(tmp_path):
    save_images(torch.rand(2, 3, 32, 32), tmp_path)
    content = bytearray((tmp_path / "00001.png").read_bytes())
    content[len(content) // 2] ^= 4
    (tmp_path / "00001.png").write_bytes(content)
    with pytest.raises(ValueError, match="00001.png cannot be read as an image"):
        Folder(tmp_path)


def test_empty_files_and_broken_links_are_named(tmp_path):
    for name in ("empty.png", "loop.png", "gone.png"):
        folder = tmp_path / name[:-4]
        save_images(torch.zeros(1, 3, 8, 8), folder)
        if name == "empty.png":
            (folder / name).touch()
        else:
            (folder / name).symlink_to(name if name == "loop.png" else "nowhere.png")
        with pytest.raises(ValueError, match=f"{name} cannot be read"):
            Folder(folder)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    save_images(torch.zeros(2, 3, 8, 8), tmp_path)

    def refuse(file, formats):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(ValueError, match="00000.png cannot be read as an image .*Permission denied"):
        Folder(tmp_path)


# Which files


def test_pictures_of_all_endings_are_read(tmp_path):
    endings = ["jfif", "jpe", "JPEG", "tif", "TIFF", "gif", "webp", "bmp", "PNG", "jp2"]
    for name in (f"{i}.{ending}" for i, ending in enumerate(endings)):
        format_ = {"jfif": "JPEG", "jpe": "JPEG"}.get(name[2:])
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, format_)
    folder = Folder(tmp_path)
    assert [file.name[0] for file in folder.files] == list("0123456789") and folder.left_out == {}
    assert (folder[:].mean((2, 3)) - torch.tensor([1.0, -1, -1])).abs().max() < 0.02
    assert {".jfif", ".tif", ".gif"} < ENDINGS and not {".eps", ".pdf", ".txt"} & ENDINGS


def test_a_name_does_not_say_what_a_file_holds(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "a.jpg", "TIFF")
    assert near(tmp_path / "a.jpg", PIXELS)


def test_what_is_left_out_is_counted_and_said(tmp_path, caplog):
    folder = tmp_path / "with [brackets] and *"
    save_images(torch.zeros(3, 3, 8, 8), folder)
    for name in (".DS_Store", "._00000.png", "Thumbs.db", "notes.txt", "more.TXT", "README"):
        (folder / name).write_bytes(b"no image")
    os.mkfifo(folder / "fifo.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    save_images(torch.zeros(1, 3, 8, 8), folder / "x.png")  # a folder
    with caplog.at_level(logging.INFO):
        found = Folder(folder)
    assert found.left_out == {
        ".db": 1, ".txt": 2, "hidden": 2, "FIFOs and devices": 2, "sub-folders": 1, "without ending": 1,
    }  # fmt: skip
    assert found.counts() == {"read": 3, "left_out": found.left_out} and len(found[:]) == 3
    (line,) = caplog.messages
    assert line.startswith(f"{folder}: 3 images, left out: 1 .db (Thumbs.db), 2 .txt (more.TXT...), ")
    assert "2 FIFOs and devices (fifo.png...), 2 hidden (.DS_Store...), 1 sub-folders (x.png)" in line
    assert line.endswith("; zsgan evaluate --recursive reads sub-folders")
    assert caplog.records[0].levelno == logging.WARNING


def test_hidden_files_are_no_cause_for_a_warning(tmp_path, caplog):
    save_images(torch.zeros(2, 3, 8, 8), tmp_path)
    (tmp_path / ".DS_Store").touch()
    with caplog.at_level(logging.INFO):
        assert Folder(tmp_path).left_out == Folder(tmp_path).left_out == {"hidden": 1}
    assert caplog.messages == [f"{tmp_path}: 2 images, left out: 1 hidden (.DS_Store)"]  # said once
    assert caplog.records[0].levelno == logging.INFO


def test_sub_folders_are_read_if_that_is_asked_for(tmp_path):
    for name in ("b", "a/10", "a/9", ".hidden"):
        save_images(torch.zeros(1, 3, 8, 8), tmp_path / name)
    (tmp_path / "a" / "up").symlink_to(tmp_path)  # a circle
    with pytest.raises(FileNotFoundError, match=r"left out: 1 hidden \(.hidden\), 2 sub-folders \(a...\)"):
        Folder(tmp_path)
    folder = Folder(tmp_path, recursive=True)
    assert folder.names == ["a/9/00000", "a/10/00000", "b/00000"]
    assert folder.left_out == {"hidden": 1, "linked folders": 1}


def test_names_are_in_the_order_of_their_numbers(tmp_path):
    names = ["img2", "img10", "img1", "cat", "cat1", "100000", "99999", "img02", "a-7-b-9", "a-7-b-10"]
    for name in names:
        (tmp_path / f"{name}.png").touch()
    assert [file.stem for file in find(tmp_path)[0]] == [
        "99999", "100000", "a-7-b-9", "a-7-b-10", "cat", "cat1", "img1", "img02", "img2", "img10",
    ]  # fmt: skip


def test_names_of_many_pictures_are_in_order():
    assert file_names(3) == ["00000", "00001", "00002"] and file_names(100_000)[-1] == "99999"
    assert file_names(100_001)[0] == "000000" and file_names(100_001) == sorted(file_names(100_001))


# Pairs


def test_values_become_the_nearest_bytes():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_bytes(from_bytes(levels)), levels)
    assert from_bytes(levels)[[0, 255]].tolist() == [-1, 1]
    assert to_bytes(torch.tensor([-7.0, -1.01, 1.01, 300.0])).tolist() == [0, 0, 255, 255]
    step = 1 / 127.5
    assert to_bytes(torch.tensor([-1 + 0.4 * step, -1 + 0.6 * step])).tolist() == [0, 1]


@pytest.mark.parametrize("others", [
    ["img0", "img1", "img2"], ["00000", "00001", "00002"], ["dog2cat-0", "dog2cat-1", "dog2cat-2"],
    ["0_before", "1_before", "2_before"],
])  # fmt: skip
def test_names_with_the_same_numbers_correspond(others):
    check_pairs(["00000", "00001", "00002"], others, "before")


def test_the_same_names_correspond():
    check_pairs(["anna", "bob", "cat3"], ["anna", "bob", "cat3"], "before")


@pytest.mark.parametrize(("names", "others", "shown"), [
    (["0", "1", "2"], ["1", "2", "3"], "'1' stands beside '0'"),
    (["0", "1", "2"], ["img0", "img1", "img10"], "'img10' stands beside '2'"),
    (["anna", "bob", "carl"], ["anna", "carl", "dora"], "'carl' stands beside 'bob'"),
    (["0", "1", "2"], ["a", "b", "c"], "'a' stands beside '0'"),
    (["a5", "b5", "c5"], ["d5", "e5", "f5"], "'d5' stands beside 'a5'"),
])  # fmt: skip
def test_the_first_two_that_do_not_correspond_are_shown(names, others, shown):
    with pytest.raises(ValueError, match=f"before='x': its image {shown}, which does not correspond; give"):
        check_pairs(names, others, "before='x'")


# Once


def test_the_content_of_a_folder_is_its_pixels(tmp_path):
    picture = Image.fromarray(PIXELS)
    for name, transparency in (("a", 255), ("b", 255), ("c", 254)):
        (tmp_path / name).mkdir()
        picture.putalpha(transparency)
        picture.save(tmp_path / name / "0.png", compress_level=1 if name == "a" else 9)
    a, b, c = (Folder(tmp_path / name).content() for name in "abc")
    assert a == b != c


def test_a_file_is_checked_once_as_long_as_it_is_the_same(tmp_path, monkeypatch):
    save_images(torch.zeros(2, 3, 8, 8), tmp_path)
    first = Folder(tmp_path).content()
    monkeypatch.setattr("zsgan.base.pictures._shown", None)
    assert Folder(tmp_path).content() == first
    monkeypatch.undo()
    save_images(torch.ones(2, 3, 8, 8), tmp_path)
    assert Folder(tmp_path).content() != first
    assert read_image(tmp_path / "00000.png").min() == 1
