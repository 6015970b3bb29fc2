"""Every kind of image becomes the RGB picture that a person sees, or an error that says why not."""

from __future__ import annotations

import io
import os
import random
import struct
import tracemalloc
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from descscore.errors import ImageError, ImageNotFoundError
from descscore.inputs.decode import decode

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return set(map(tuple, np.asarray(image).reshape(-1, 3).tolist()))


def photo(mode: str = "RGB") -> Image.Image:
    gradient = np.linspace(0, 255, 12 * 8 * 3).reshape(8, 12, 3).astype(np.uint8)
    return Image.fromarray(gradient).convert(mode)


def chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


class Unseekable(io.RawIOBase):
    """A stream such as a download's."""

    def __init__(self, content: bytes) -> None:
        self.content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self.content.readinto(buffer)


# What is accepted


def test_all_ways_to_give_an_image_give_the_same_pixels(tmp_path: Path) -> None:
    image = photo()
    pixels = np.asarray(image)
    path = tmp_path / "photo.png"
    image.save(path)
    ways = [
        str(path),
        path,
        path.read_bytes(),
        bytearray(path.read_bytes()),
        memoryview(path.read_bytes()),
        io.BytesIO(path.read_bytes()),
        io.BufferedReader(Unseekable(path.read_bytes())),
        {"bytes": path.read_bytes(), "path": None},
        {"bytes": None, "path": str(path)},
        {"bytes": path.read_bytes(), "path": "gone.png"},
        image,
        pixels,
        np.asfortranarray(pixels),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
        torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255,
        torch.from_numpy(pixels.copy()).permute(2, 0, 1).double() / 255,
        torch.nn.Parameter(torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255),
    ]
    for way in ways:
        decoded = decode(way)
        assert decoded.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(decoded), pixels)


def test_inputs_stay_as_they_are() -> None:
    image = photo("RGBA")
    image.getexif()[0x0112] = 6
    before = image.tobytes(), image.size, image.mode, dict(image.getexif())
    decode(image)
    assert (image.tobytes(), image.size, image.mode, dict(image.getexif())) == before


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    # The eight orientations of EXIF 2.3, as the array operation that shows the picture upright.
    upright = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a),
    }[orientation]
    image = photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode(encoded(image, "PNG", exif=exif))
    np.testing.assert_array_equal(np.asarray(decoded), upright(np.asarray(image)))


def test_an_unreadable_exif_block_leaves_the_picture_as_it_is() -> None:
    image = photo()
    broken = encoded(image, "PNG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff")
    np.testing.assert_array_equal(np.asarray(decode(broken)), np.asarray(image))


def test_transparency_shows_white() -> None:
    for mode, clear, solid in [
        ("RGBA", (*GREEN, 0), (*GREEN, 255)),
        ("LA", (0, 0), (0, 255)),
        ("RGBa", (0, 0, 0, 0), (*GREEN, 255)),
        ("La", (0, 0), (0, 255)),
    ]:
        assert colours(decode(Image.new(mode, (4, 4), clear))) == {WHITE}
        shown = {(0, 0, 0)} if mode.startswith("L") else {GREEN}
        assert colours(decode(Image.new(mode, (4, 4), solid))) == shown
    half = decode(Image.new("RGBA", (4, 4), (0, 0, 0, 128)))
    assert colours(half) == {(127, 127, 127)}


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_transparency_in_files_shows_white(kind: str) -> None:
    image = Image.new("RGBA", (4, 4), (*GREEN, 0))
    image.paste(Image.new("RGBA", (2, 4), (*RED, 255)))
    decoded = decode(encoded(image, kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert colours(decoded) == {RED, WHITE}


@pytest.mark.parametrize("alpha", [b"\x00\xff", 0], ids=["alpha_per_colour", "clear_colour"])
def test_a_transparent_palette_colour_shows_white(alpha: bytes | int) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([*GREEN, *RED])
    image.putpixel((1, 0), 1)
    decoded = decode(encoded(image, "PNG", transparency=alpha))
    assert np.asarray(decoded).tolist() == [[list(WHITE), list(RED)]]


def test_a_colour_made_transparent_shows_white() -> None:
    image = Image.new("RGB", (2, 1), GREEN)
    image.putpixel((1, 0), RED)
    decoded = decode(encoded(image, "PNG", transparency=GREEN))
    assert np.asarray(decoded).tolist() == [[list(WHITE), list(RED)]]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, WHITE)]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames") == 3  # noqa: B009
    assert colours(decode(content)) == {RED}


def test_cmyk_is_converted() -> None:
    assert colours(decode(Image.new("CMYK", (4, 4), (0, 255, 255, 0)))) == {RED}
    content = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = next(iter(colours(decode(content))))
    assert red > 250 > 5 > max(green, blue)


def test_black_and_white_and_grey_are_converted() -> None:
    assert colours(decode(Image.new("1", (4, 4), 1))) == {WHITE}
    assert colours(decode(Image.new("L", (4, 4), 77))) == {(77, 77, 77)}
    assert colours(decode(np.full((4, 4), 77, np.uint8))) == {(77, 77, 77)}


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "P", "PA"])
def test_other_colour_models_keep_their_colours(mode: str) -> None:
    image = Image.new("RGB", (4, 4), (200, 100, 50))
    colour = next(iter(colours(decode(image.convert(mode)))))
    # Conversions there and back round: HSV in steps of 1/256 hue, LAB and YCbCr likewise.
    np.testing.assert_allclose(colour, (200, 100, 50), atol=4)


@pytest.mark.parametrize("order", ["<", ">"], ids=["I;16", "I;16B"])
def test_sixteen_bit_grey_is_scaled_and_not_clipped(order: str) -> None:
    values = np.array([[0, 257 * 77, 65535]])
    image = Image.fromarray(values.astype(f"{order}u2"))
    expected = [[[0] * 3, [77] * 3, [255] * 3]]
    assert np.asarray(decode(image)).tolist() == expected
    assert np.asarray(decode(encoded(image, "TIFF"))).tolist() == expected


def test_a_dark_sixteen_bit_picture_stays_dark() -> None:
    image = Image.fromarray(np.array([[0, 200]], np.uint16))
    assert np.asarray(decode(image))[0, :, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("mode", "values", "grey"),
    [
        ("I", [0, 100, 255], [0, 100, 255]),
        ("I", [0, 257 * 77, 65535], [0, 77, 255]),
        ("F", [0, 0.2, 1], [0, 51, 255]),
        ("F", [0, 100, 255], [0, 100, 255]),
    ],
)
def test_deep_grey_is_read_on_the_scale_that_its_values_fit(
    mode: str, values: list[float], grey: list[int]
) -> None:
    image = Image.fromarray(np.array([values], np.int32 if mode == "I" else np.float32))
    assert image.mode == mode
    assert np.asarray(decode(image))[0, :, 0].tolist() == grey


# What is refused


def refused(image: object, *parts: str, error: type[ImageError] = ImageError) -> None:
    """An error of this very class, whose message has all parts."""
    with pytest.raises(ImageError) as caught:
        decode(image)
    assert caught.type is error
    for part in parts:
        assert part in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gone.jpg"
    refused(path, str(path), "does not exist", error=ImageNotFoundError)


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(_path: str, _mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "secret.jpg"
    path.touch()
    # Whoever runs the tests may be allowed to read everything.
    monkeypatch.setattr("descscore.inputs.decode.open", denied, raising=False)
    refused(path, str(path), "cannot be read: Permission denied")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, str(tmp_path), "is a folder", "path of one image")


ADDRESSES = [
    "https://example.org/a.jpg",
    "HTTP://example.org/a.jpg",
    " http://example.org/a.jpg",
    "file:///srv/photos/a.png",
    "FILE:/srv/a.png",
    "s3://bucket/a.png",
    "gs://bucket/a.png",
    "hf://datasets/a/b.png",
    "android.resource://app/a",
    "svn+ssh://host/a.png",
    "//example.org/a.png",
    "data:image/png;base64,iVBORw0KGgo=",
    "Data:,",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_refused(address: str) -> None:
    refused(address, repr(address), "is a URL", "save the image")
    refused({"bytes": None, "path": address}, repr(address), "is a URL")


@pytest.mark.parametrize(
    "path", ["C:\\a.png", "c:/a.png", "///a.png", "a://", "12:30.png", "a: b.png"]
)
def test_other_paths_with_colons_and_slashes_are_no_addresses(path: str) -> None:
    refused(path, "does not exist", error=ImageNotFoundError)


def test_a_file_that_is_named_like_an_address_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    photo().save("data:x.png")
    assert decode("data:x.png").size == photo().size
    assert decode(f"/{tmp_path}/data:x.png").size == photo().size


@pytest.mark.parametrize("value", ["data:image/png;base64," + "iVBO" * 50_000, "x" * 10_000])
def test_no_message_repeats_a_long_value(value: str) -> None:
    for image in (value, {"bytes": None, "path": value}, {"bytes": value, "path": None}):
        with pytest.raises(ImageError) as caught:
            decode(image)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("asked", "there", "difference"),
    [
        ("cafe\u0301.png", "caf\u00e9.png", "in its Unicode form"),
        ("caf\u00e9.png", "cafe\u0301.png", "in its Unicode form"),
        ("Photo.JPG", "photo.jpg", "in case"),
        ("42.0", "42", "by a decimal point"),
        ("42.0.jpg", "42.jpg", "by a decimal point"),
        ("a%20cat.png", "a cat.png", "in escapes such as %20"),
        ("\u0042%C3%A9.png", "be\u0301.PNG", "in form and case"),
        ("cat.png ", "cat.png", "in spaces or underscores"),
    ],
)
def test_of_a_missing_file_the_name_that_is_close_is_told(
    tmp_path: Path, asked: str, there: str, difference: str
) -> None:
    (tmp_path / there).touch()
    parts = (f"{there!r} differs from {asked!r} {difference}",)
    refused(tmp_path / asked, *parts, error=ImageNotFoundError)
    (tmp_path / there).unlink()
    (tmp_path / there).mkdir()
    refused(tmp_path / asked / "a" / "b.png", *parts, error=ImageNotFoundError)


def test_a_file_open_as_text_or_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    photo().save(path)
    with path.open(encoding="latin-1") as file:
        refused(file, "(an open TextIOWrapper) is open as text", "mode 'rb'")
    refused(io.StringIO("a.png"), "open as text")
    with path.open("rb") as file:
        assert decode(file).size == photo().size
        assert decode(file).size == photo().size, "it stays open, and is read from its start"
    refused(file, "(an open BufferedReader) cannot be read", "closed")
    refused(io.BytesIO(), "empty (0 bytes)")


@pytest.mark.parametrize("record", [{"bytes": None, "path": None}, {"path": 7}, {"bytes": "a"}])
def test_a_record_without_bytes_or_path_is_refused(record: dict[str, Any]) -> None:
    refused(record, "is a dict with bytes", "give encoded bytes or a path")


def test_a_file_of_any_size_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sparse.png"
    for header in (b"", png_that_claims(4, 4)):
        path.write_bytes(header)
        os.truncate(path, 3 * 2**30)
        refused(path, "3,221,225,472 bytes", "over the limit", "shrink it")
    os.truncate(path, 400 * 2**20)
    tracemalloc.start()
    path.write_bytes(b"")
    os.truncate(path, 400 * 2**20)
    refused(path, "not in an image format that Pillow reads")
    with path.open("rb") as file:
        refused(file, "not in an image format that Pillow reads")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def png(depth: int, kind: int, row: bytes, clear: tuple[int, ...] | None = None) -> bytes:
    """A PNG of 2 x 1 pixels, by its specification.

    Args:
        depth: bits of a sample.
        kind: 0 for grey, 2 for colour.
        row: of samples.
        clear: the samples of the colour that is transparent.
    """
    header = struct.pack(">IIBBBBB", 2, 1, depth, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", header)]
    if clear is not None:
        chunks.append(chunk(b"tRNS", struct.pack(f">{len(clear)}H", *clear)))
    chunks += [chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# The second pixel is clear; the first has another value, told in 8 bits.
CLEAR = {
    "grey1": (png(1, 0, b"\x40", (1,)), 0),
    "grey2": (png(2, 0, b"\x60", (2,)), 85),
    "grey4": (png(4, 0, b"\x3a", (10,)), 51),
    "grey8": (png(8, 0, bytes([60, 200]), (200,)), 60),
    "grey16": (png(16, 0, struct.pack(">HH", 60 * 257, 50_000), (50_000,)), 60),
    "colour8": (png(8, 2, bytes([60] * 3 + [1, 2, 3]), (1, 2, 3)), 60),
    "colour16": (png(16, 2, struct.pack(">6H", *[60 * 257] * 3, 9, 700, 8), (9, 700, 8)), 60),
}


@pytest.mark.parametrize("name", CLEAR)
def test_a_clear_colour_shows_white_in_every_depth(name: str) -> None:
    content, value = CLEAR[name]
    assert np.asarray(decode(content)).tolist() == [[[value] * 3, list(WHITE)]]


def test_a_clear_colour_that_no_pixel_has_changes_nothing() -> None:
    content = png(16, 0, struct.pack(">HH", 60 * 257, 50_000), (50_001,))
    assert np.asarray(decode(content))[0, :, 0].tolist() == [60, round(50_000 / 257)]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, 4, 4, device="meta"),
        torch.zeros(3, 4, 4).to_sparse(),
    ],
    ids=["meta", "sparse"],
)
def test_a_tensor_that_is_not_dense_is_refused(tensor: torch.Tensor) -> None:
    refused(tensor, "a tensor of shape (3, 4, 4)", "give a dense tensor")


def test_a_path_that_no_system_has_is_refused() -> None:
    refused("a\0b.jpg", "cannot be read")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.touch()
    refused(path, str(path), "empty (0 bytes)", "replace")
    refused(b"", "(0 bytes)", "empty (0 bytes)")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_text("<html>404</html>")
    refused(path, str(path), "not in an image format that Pillow reads", "PNG")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.15, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    path = tmp_path / "cut"
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, str(path))


def test_damaged_files_of_any_format_are_read_or_refused_and_nothing_else() -> None:
    generator = random.Random(0)
    image = photo().resize((48, 32))
    outcomes = {"read": 0, "refused": 0}
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "ICO", "TGA", "JPEG2000"):
        for content in (encoded(image.convert(mode), kind) for mode in ("RGB", "L")):
            for attempt in range(25):
                damaged = bytearray(content)
                if attempt % 2:
                    damaged = damaged[: generator.randrange(1, len(damaged))]
                for _ in range(6):
                    damaged[generator.randrange(min(len(damaged), 200))] = generator.randrange(256)
                try:
                    with warnings.catch_warnings(action="ignore"):
                        decode(bytes(damaged))
                    outcomes["read"] += 1
                except ImageError:
                    outcomes["refused"] += 1
    assert min(outcomes.values()) > 50


@pytest.mark.parametrize(
    ("side", "warn", "size"),
    [
        (10_000, "ignore", "10000 x 10000 pixels"),
        (10_000, "error", "100,000,000 pixels"),  # what Pillow warns of
        (60_000, "ignore", "3,600,000,000 pixels"),  # what Pillow refuses
        (60_000, "error", "3,600,000,000 pixels"),
    ],
)
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(
    side: int, warn: str, size: str
) -> None:
    with warnings.catch_warnings(action=warn):
        refused(
            png_that_claims(side, side),
            f"has {size} and is over the limit of",
            "decompression bombs; shrink it, or, from Python, raise PIL.Image.MAX_IMAGE_PIXELS",
        )


def test_a_gigantic_picture_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 90)
    refused(photo(), "12 x 8 pixels", "limit of 90 pixels")
    refused(np.asarray(photo()), "12 x 8 pixels", "limit of 90 pixels")


def test_whoever_lifts_pillows_limit_lifts_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode(photo()).size == (12, 8)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_pixels_that_are_no_numbers_are_refused(bad: float) -> None:
    tensor = torch.zeros(3, 4, 4)
    tensor[1, 2, 3] = bad
    refused(tensor, "(a tensor of shape (3, 4, 4), float32)", "NaN or infinite")
    refused(Image.fromarray(tensor[1].numpy()), "NaN or infinite")


@pytest.mark.parametrize("values", [(-0.1, 1.0), (0.0, 1.5), (0.0, 255.0)])
def test_a_float_tensor_outside_its_range_is_refused(values: tuple[float, float]) -> None:
    tensor = torch.full((3, 4, 4), values[0])
    tensor[0, 0, 0] = values[1]
    refused(tensor, f"from {values[0]:g} to {values[1]:g}", "[0, 1]")


def test_a_rounding_error_outside_the_range_is_no_fault() -> None:
    tensor = torch.tensor([-1e-7, 1 + 1e-6])[None, :, None].expand(3, 2, 2)
    assert np.unique(np.asarray(decode(tensor))).tolist() == [0, 255]


def test_a_closed_picture_is_refused() -> None:
    image = Image.new("RGB", (4, 4))
    image.close()
    refused(image, "a PIL image", "closed", "replace it")


def test_a_picture_that_stands_upright_is_not_copied() -> None:
    image = Image.new("RGB", (4, 4))
    assert decode(image) is image


@pytest.mark.parametrize(
    "tensor", [torch.zeros(4, 4, 3), torch.zeros(4, 4), torch.zeros(1, 4, 4), torch.zeros(3, 0, 4)]
)
def test_a_tensor_of_another_shape_is_refused(tensor: torch.Tensor) -> None:
    refused(tensor, str(tuple(tensor.shape)), "(3, H, W)", "permute")


def test_a_tensor_of_another_type_is_refused() -> None:
    refused(torch.zeros(3, 4, 4, dtype=torch.int64), "int64", "uint8 nor float")


def test_an_array_of_another_type_is_refused() -> None:
    refused(np.zeros((4, 4, 3)), "(4, 4, 3), float64", "not uint8")


@pytest.mark.parametrize("shape", [(3, 4, 5), (4, 4, 2), (0, 4, 3), (4,)])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    refused(np.zeros(shape, np.uint8), str(shape), "(H, W, 3)")


def test_grey_values_on_no_known_scale_are_refused() -> None:
    image = Image.fromarray(np.array([[-5, 70_000]], np.int32))
    refused(image, "from -5 to 70000", "0..255")


@pytest.mark.parametrize("value", [None, 7, 3.5, object()])
def test_what_is_no_image_at_all_is_refused(value: object) -> None:
    refused(value, f"is a {type(value).__name__}", "give a path")


def test_upright_agrees_with_pillow_on_a_photo() -> None:
    image = photo()
    exif = Image.Exif()
    exif[0x0112] = 8
    content = encoded(image, "JPEG", exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(np.asarray(decode(content)), np.asarray(expected))
