"""Pictures of single maps: colours of cells against the values in the file, in PNG and in SVG."""

import os
import re
import struct
import unittest
import zlib

from program import TINY, Case, fresh, heed, main

import browser

try:
    import h5py
except ImportError:
    h5py = None

SETTINGS = [*TINY, "data.text=text.txt", "data.valid_share=0.5", "train.steps=20", "train.peak_lr=1e-2", "eval.every=10", "checkpoint.every=0", "log.attention_every=10",
            "log.probes=2"]
PAIRS = [*TINY, "model.kind=encoder_decoder", "data.pairs=pairs.tsv", "data.valid_share=0.5", "train.steps=20", "train.peak_lr=1e-2", "checkpoint.every=0",
         "log.attention_every=10", "log.probes=2"]
VIRIDIS = [0x440154, 0x481a6c, 0x472f7d, 0x414487, 0x39568c, 0x31688e, 0x2a788e, 0x23888e, 0x1f988b, 0x22a884, 0x35b779, 0x54c568, 0x7ad151,
           0xa5db36, 0xd2e21b, 0xfde725]


def read_png(path):
    """Rows of (r, g, b): of a PNG with 8 bits a colour, unfiltered by its definition (PNG specification, 9.2)."""
    with open(path, "rb") as file:
        data = file.read()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colours = struct.unpack(">IIBB", body[:10])
            assert depth == 8 and colours in (2, 6)
            size = 3 if colours == 2 else 4
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    plain, rows, above = zlib.decompress(packed), [], bytes(width * size)
    for y in range(height):
        kind, line = plain[y * (width * size + 1)], bytearray(plain[y * (width * size + 1) + 1:(y + 1) * (width * size + 1)])
        for x in range(len(line)):
            a, b = line[x - size] if x >= size else 0, above[x]
            c = above[x - size] if x >= size else 0
            if kind == 4:
                p = a + b - c
                guess = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            else:
                guess = (0, a, b, (a + b) // 2)[kind]
            line[x] = (line[x] + guess) & 255
        rows.append([tuple(line[x:x + 3]) for x in range(0, len(line), size)])
        above = line
    return rows


class Figure(Case):
    @classmethod
    def setUpClass(cls):
        if h5py is None:
            browser.need("h5py")
        with open("text.txt", "w") as file:
            file.write("a rose is <a> rose & so on. " * 60)
        with open("pairs.tsv", "w") as file:
            file.writelines(f"{'abcdefg'[i % 5:]}{'hij'[:i % 3]}{i}\t{'XYZ'[:1 + i % 3]}\n" for i in range(90))
        for run, settings in ("run", SETTINGS), ("pairs", PAIRS):
            result = heed("train", *settings, f"run.dir={fresh(run)}")
            assert result.status == 0, result.err

    def draw(self, *arguments, run="run"):
        self.expect_success(heed("report", run, *arguments))

    def cells(self, path):
        """The map's cells as an SVG holds them: (x, y) -> colour in percent."""
        with open(path) as file:
            text = file.read()
        found = re.findall(r'fill:rgb\(([\d.]+)%,([\d.]+)%,([\d.]+)%\)[^>]*d="M ([\d.]+) ([\d.]+) L', text)
        return {(round(float(x), 3), round(float(y), 3)): tuple(float(c) for c in rgb) for *rgb, x, y in found}, text

    def test_svg_has_the_colours_of_the_values(self):
        self.draw("--svg", "map.svg", "--head", "1", "--probe", "1", "--step", "20")
        cells, text = self.cells("map.svg")
        with h5py.File("run/attention/step-00000020.h5") as file:
            weights = file["attention"][0, 1, 0, 1]
        xs, ys = (sorted({place[axis] for place in list(cells)[:200]}) for axis in (0, 1))
        self.expect_colours(cells, weights, 16, 16, causal=True)

    def expect_colours(self, cells, weights, n, m, causal):
        side = 420 / max(n, m)
        x0, y0 = min(cells, key=lambda place: place[0] + place[1])
        shown = {place: rgb for place, rgb in cells.items() if place[0] < x0 + 419}
        for i in range(n):
            for j in range(i + 1 if causal else m):
                x, y = x0 + j * side, y0 + i * side
                place = min(shown, key=lambda p: abs(p[0] - x) + abs(p[1] - y))
                self.assertLess(abs(place[0] - x) + abs(place[1] - y), 0.1, (i, j))
                share = min(max(float(weights[i, j]), 0), 1) * 15
                low = min(int(share), 14)
                for c, shift in enumerate((16, 8, 0)):
                    a, b = VIRIDIS[low] >> shift & 255, VIRIDIS[low + 1] >> shift & 255
                    self.assertAlmostEqual(shown[place][c], (a + (share - low) * (b - a)) / 2.55, delta=0.3, msg=(i, j))

    def test_kinds_of_attention(self):
        """Maps of an encoder-decoder have the size of their probe, cross-attention's of a target and a source."""
        for kind, folder in ("cross", "attention-cross"), ("encoder", "attention-encoder"), ("self", "attention"):
            self.draw("--svg", f"{kind}.svg", "--kind", kind, "--probe", "1", "--head", "1", "--step", "20", run="pairs")
            cells, _ = self.cells(f"{kind}.svg")
            with h5py.File(f"pairs/{folder}/step-00000020.h5") as file:
                n = int(file["probe_length"][1])
                m = int(file["key_length"][1]) if kind == "cross" else n
                self.expect_colours(cells, file["attention"][0, 1, 0, 1], n, m, kind == "self")

    def test_png(self):
        self.draw("--png", "map.png", "--what", "credit", "--step", "10")
        rows = read_png("map.png")
        self.assertGreater(len(rows), 1200)
        with h5py.File("run/attention/step-00000010.h5") as file:
            credit = file["credit"][0, 0, 0, 0]
        strongest = abs(credit).argmax()
        darkest = (0x08, 0x30, 0x6b) if credit.flat[strongest] < 0 else (0x7f, 0x27, 0x04)
        self.assertIn(darkest, {pixel for row in rows[len(rows) // 20:] for pixel in row[:1300]})

    def test_pdf_and_misuse(self):
        self.draw("--pdf", "map.pdf", "--what", "advantage")
        with open("map.pdf", "rb") as file:
            self.assertTrue(file.read(5) == b"%PDF-")
        for arguments, status, pattern in ((["--step", "7"], 66, r"no log of step 7 \(the nearest is of step 10\)"), (["--layer", "1"], 64, r"--layer = 1: .* has 0 to 0"),
                                           (["--head", "2"], 64, r"--head = 2"), (["--probe", "2"], 64, r"--probe = 2"), (["--what", "love"], 64, r"--what = love: expected attention"),
                                           (["--kind", "love"], 64, r"--kind = love: expected self, encoder or cross"),
                                           (["--kind", "cross"], 66, r"run/attention-cross: no attention log lies there.*an encoder-decoder has it")):
            self.expect_fault(heed("report", "run", "--png", "no.png", *arguments), status, pattern)
        self.expect_fault(heed("report", "run", "--png", "no/map.png"), 73, r"no/map.png: cannot be created")
        self.expect_fault(heed("report", "run", "run", "--png", "no.png"), 64, r"a picture is of one run")
        self.assertFalse(os.path.exists("no.png") or os.path.exists("no.png.tmp"))


if __name__ == "__main__":
    main()
