"""Large images are read a few at a time, and data in a part of 16 bits is told."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalesearch.data import data_set
from scalesearch.data.images import open_image, upright_8bit
from scalesearch.data.scan import _Room

READ = """
import sys
import scalesearch.data.scan as scan
from scalesearch.data import data_set
scan.cores = lambda: 4
data_set(sys.argv[1]).scan
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_as_many_images_are_in_work_as_their_pixels_leave_room_for():
    room, at_once, most = _Room(100), [0], [0]

    def work(pixels):
        with room.reserve(pixels):
            at_once[0] += pixels
            most[0] = max(most[0], at_once[0])
            time.sleep(0.01)
            at_once[0] -= pixels

    threads = [threading.Thread(target=work, args=(pixels,)) for pixels in (40, 40, 40, 60, 30, 500, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 500  # one that is larger than the room is alone
    assert room.taken == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="getrusage counts the parent's memory too")
def test_six_images_of_144_megapixels_take_under_a_gibibyte_and_a_half(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(3):
            picture = Image.effect_noise((100, 100), 50).convert("RGBA" if i else "RGB").resize((12_000, 12_000), 0)
            picture.save(tmp_path / label / f"{i}.png", compress_level=1)
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) / 1024 < 1536


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "CMYK", "L", "RGB", "I;16"])
def test_strips_give_the_pixels_of_the_whole(mode, monkeypatch):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (37, 23, 4), dtype=np.uint8)
    image = (
        Image.fromarray(values).convert(mode) if mode != "I;16" else Image.fromarray(values[..., 0] * np.uint16(257))
    )
    whole = np.asarray(upright_8bit(image.copy(), 3))
    monkeypatch.setattr("scalesearch.data.images.STRIP_PIXELS", 100)
    assert np.array_equal(np.asarray(upright_8bit(image.copy(), 3)), whole)
    if mode == "RGBA":
        assert np.array_equal(
            whole, Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        )


@pytest.mark.parametrize(("high", "levels"), [(4095, 16), (65_535, 0), (1023, 4)])
def test_data_in_a_part_of_16_bits_is_told(high, levels, tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(12):
            wave = np.outer(np.linspace(0, 1, 32), np.linspace(0.5, 1, 32)) * (i + ord(label)) / (12 + ord("b") - 1)
            Image.fromarray((wave / wave.max() * high).astype(np.uint16)).save(tmp_path / label / f"{i}.png")
    warnings = [line for line in data_set(str(tmp_path)).health.warnings if "levels" in line]
    assert bool(warnings) == bool(levels)
    if levels:
        assert (
            f"with values up to {high:,} of 65,535: divided by 257 they are dark, with {levels} of 256" in warnings[0]
        )


def test_16_bit_colour_is_told_too(tmp_path):
    """Pillow reads its upper 8 bits; the file's head says that there were more."""
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rng = np.random.default_rng(0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for i in range(12):
            rows = b"".join(b"\0" + row.tobytes() for row in rng.integers(0, 4096, (16, 16 * 3)).astype(">u2"))
            head = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 16, 2, 0, 0, 0))
            body = head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
            (tmp_path / label / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with open_image((tmp_path / "a" / "0.png").read_bytes()) as image:
        assert image.mode == "RGB"
    assert any("24 16-bit images with values up to 4,095" in line for line in data_set(str(tmp_path)).health.warnings)
