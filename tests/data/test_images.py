"""Images of every mode, with malformed tags, and of hostile sizes: the right pixels, or one sentence."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin

from polyclip.data.image_hash import hash_image
from polyclip.data.image_modes import convert_to_rgb
from polyclip.data.images import decode_image, make_image_source, open_image
from polyclip.data.inputs import image_sources
from polyclip.errors import DataError

GREYS = (0, 60, 100, 200, 254, 255)  # 0 to white
DEEP = {"I;16": ("<", 257), "I;16B": (">", 257), "I;16L": ("<", 257)}


def grey() -> Image.Image:
    return Image.fromarray(np.array([GREYS], np.uint8), "L")


def in_mode(mode: str) -> Image.Image:
    """The same greys in a mode, by its own range."""
    if mode in DEEP:
        order, scale = DEEP[mode]
        return Image.frombytes(mode, (len(GREYS), 1), struct.pack(f"{order}{len(GREYS)}H", *(v * scale for v in GREYS)))
    if mode == "I":
        return Image.fromarray(np.array([GREYS], np.int32) * 257, "I")
    if mode == "F":
        return Image.fromarray(np.array([GREYS], np.float32) / 255, "F")
    if mode == "LAB":
        spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        return ImageCms.applyTransform(grey().convert("RGB"), ImageCms.buildTransform(*spaces, "RGB", "LAB"))
    steps = {"La": ("LA", "La"), "RGBa": ("RGBA", "RGBa"), "PA": ("P", "PA"), "HSV": ("RGB", "HSV")}
    image = grey()
    for step in steps.get(mode, (mode,)):
        image = image.convert(step)
    return image


@pytest.mark.parametrize(
    "mode",
    "L P RGB RGBX CMYK YCbCr HSV LAB RGBA LA PA La RGBa I F I;16 I;16B I;16L".split(),
)
def test_every_mode_keeps_its_greys(mode: str) -> None:
    image = in_mode(mode)
    assert image.mode == mode
    found = np.asarray(convert_to_rgb(image)).astype(int)
    assert found.shape == (1, len(GREYS), 3)
    assert np.abs(found - np.array(GREYS)[None, :, None]).max() <= (2 if mode in ("LAB", "HSV") else 0)


def test_one_bit_is_black_and_white() -> None:
    image = Image.fromarray(np.array([[False, True]]))
    assert image.mode == "1" and np.asarray(convert_to_rgb(image)).tolist() == [[[0] * 3, [255] * 3]]


def test_each_mode_of_this_pillow_is_read_or_refused_by_name() -> None:
    for mode in Image.MODES:
        try:
            assert convert_to_rgb(Image.new(mode, (2, 2))).mode == "RGB"
        except DataError as error:
            assert mode in str(error)


@pytest.mark.parametrize(("largest", "white"), [(255, 255), (256, 4095), (4095, 4095), (4096, 65535), (65535, 65535)])
def test_white_is_that_of_the_depth(largest: int, white: int) -> None:
    image = Image.fromarray(np.array([[0, largest]], np.uint16))
    assert convert_to_rgb(image).getpixel((1, 0)) == (round(largest * 255 / white),) * 3


@pytest.mark.parametrize("values", [[-1.0, 1.0], [0.0, np.nan], [0.0, np.inf], [0.0, 70_000.0]])
def test_floats_without_a_range_are_refused(values: list[float], tmp_path: Path) -> None:
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"a\.tif: .*grey values"):
        open_image(tmp_path / "a.tif")


def test_transparent_parts_are_white() -> None:
    for image in (
        Image.new("RGBA", (1, 1), (9, 9, 9, 0)),
        Image.new("LA", (1, 1), (9, 0)),
        Image.new("RGBA", (1, 1), (9, 9, 9, 0)).convert("RGBa"),
        Image.new("LA", (1, 1), (9, 0)).convert("La"),
    ):
        assert convert_to_rgb(image).getpixel((0, 0)) == (255, 255, 255)
    palette, out = Image.new("P", (2, 1)), io.BytesIO()
    palette.putpalette([9, 9, 9, 7, 7, 7])
    palette.putpixel((1, 0), 1)
    palette.save(out, "PNG", transparency=0)
    found = decode_image(out.getvalue(), "a")
    assert [found.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (7, 7, 7)]
    out = io.BytesIO()
    Image.fromarray(np.array([[0, 1000]], np.uint16)).save(out, "PNG", transparency=1000)
    assert decode_image(out.getvalue(), "a").getpixel((1, 0)) == (255, 255, 255)


def scan(path: Path, box: tuple[int, int, int, int]) -> Path:
    """A 16-bit scan of a bright square, which clipping to 8 bits would turn white."""
    values = np.full((64, 64), 20_000, np.uint16)
    values[box[1] : box[3], box[0] : box[2]] = 50_000
    Image.fromarray(values).save(path)
    return path


def test_three_drawings_of_16_bits_stay_three(tmp_path: Path) -> None:
    paths = [
        scan(tmp_path / f"{place}.png", box)
        for place, box in enumerate([(4, 4, 30, 30), (34, 30, 60, 60), (8, 40, 56, 50)])
    ]
    hashes = {hash_image(make_image_source(path)) for path in paths}
    assert len(hashes) == 3 and not any(isinstance(found, str) for found in hashes)  # a text says what is wrong
    source = image_sources([paths[0], Image.open(paths[0])])
    assert np.array_equal(np.asarray(source[0].open()), np.asarray(source[1].open()))  # one function for all


def with_exif(tag: int, kind: int, value: bytes) -> bytes:
    """A JPEG with orientation 6 and one more tag of any type."""
    entries = sorted([(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (tag, kind, len(value), value.ljust(4, b"\0")[:4])])
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    exif += b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in entries) + b"\0\0\0\0"
    out, image = io.BytesIO(), Image.new("RGB", (4, 2), "red")
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


@pytest.mark.parametrize("tag", [0x0100, 0x0102, 0x011A, 0x0128, 0x0213, 0x8769, 0x8825, 0xA005])
@pytest.mark.parametrize("kind", [0, 2, 3, 5, 7, 10, 12, 99])
def test_malformed_tags_leave_the_image_whole(tag: int, kind: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode_image(with_exif(tag, kind, b"\xff\xff\xff\xff"), "a").size in ((2, 4), (4, 2))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_pillows_own(orientation: int) -> None:
    exif, out = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(np.arange(24, dtype=np.uint8).reshape(2, 4, 3)).save(out, "PNG", exif=exif)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(out.getvalue())))
    assert np.array_equal(np.asarray(decode_image(out.getvalue(), "a")), np.asarray(wanted))


def test_orientation_is_applied_or_left() -> None:
    for orientation, size in ((1, (4, 2)), (3, (4, 2)), (6, (2, 4)), (8, (2, 4)), (0, (4, 2)), (99, (4, 2))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        out = io.BytesIO()
        Image.new("RGB", (4, 2)).save(out, "JPEG", exif=exif)
        assert decode_image(out.getvalue(), "a").size == size


def test_tiffs_with_odd_tags_are_read_or_named() -> None:
    for tag, kind in ((282, 2), (306, 5), (270, 12), (274, 2), (34665, 2)):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info.tagtype[tag] = kind
        info[tag] = "x" if kind == 2 else 1.5
        out = io.BytesIO()
        Image.new("RGB", (4, 2), "red").save(out, "TIFF", tiffinfo=info)
        try:
            assert decode_image(out.getvalue(), "a.tif").getpixel((0, 0)) == (255, 0, 0)
        except DataError as error:
            assert str(error).startswith("a.tif: ")


def png_of(width: int, height: int) -> bytes:
    """A small PNG file of a large black image."""
    row = zlib.compressobj(9)
    data = b"".join(row.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + row.flush()

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((60_000_000, 1), "256 times"),
        ((1, 60_000_000), "256 times"),
        ((257, 1), "256 times"),
        ((8_001, 8_000), "64,000,000"),
        ((30_000, 30_000), "64,000,000"),
    ],
)
def test_bombs_are_refused_before_they_are_decoded(size: tuple[int, int], said: str) -> None:
    data = png_of(*size) if size[1] < 10 else png_of(1, 1)[:16] + struct.pack(">II", *size)
    header = data[12:16] + struct.pack(">IIBBBBB", *size, 1, 0, 0, 0, 0)
    data = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + png_of(1, 1)[33:]
    with pytest.raises(DataError, match=f"^bomb.png: .*{said}"):
        decode_image(data, "bomb.png")
    assert decode_image(png_of(256, 1), "a").size == (256, 1)


def test_a_truncated_image_is_named() -> None:
    out = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(out, "PNG")
    with pytest.raises(DataError, match="^cut.png: damaged or truncated"):
        decode_image(out.getvalue()[:800], "cut.png")
