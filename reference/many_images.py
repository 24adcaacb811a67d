"""Small images with captions: python many_images.py FOLDER COUNT

Writes COUNT different images of 64 pixels and captions.csv with four captions of each. Standard library only.
"""

import csv
import struct
import sys
import zlib
from pathlib import Path

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (40, 60, 220), "yellow": (230, 220, 40), "white": (245, 245, 245)}
PLACES = ["top left", "top right", "bottom left", "bottom right"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(colour: tuple[int, int, int], place: int, number: int) -> bytes:
    """A grey square with a coloured quarter, and the number in its first pixels."""
    side, mark = 64, struct.pack(">I", number)
    rows = bytearray()
    for y in range(side):
        row = bytearray()
        for x in range(side):
            row += bytes(colour if (x >= side // 2) + 2 * (y >= side // 2) == place else (128, 128, 128))
        if y == 0:
            row[:4] = mark
        rows += b"\0" + row
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b"")


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = list(COLOURS)
    with open(folder / "captions.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption"])
        for number in range(count):
            name, place = names[number % len(names)], number // len(names) % len(PLACES)
            path = f"images/{number:06}.png"
            (folder / path).write_bytes(png(COLOURS[name], place, number))
            where = PLACES[place]
            for caption in (f"a {name} square {where}", f"{where} is {name}, number {number}", f"number {number}", f"a {name} one, {number}"):
                table.writerow([path, caption])


main()
