"""Draws search.png from the hits that `gxn search --format jsonl` printed; docs/images/README.md says how it was made.

    pip install pillow
    gxn search "QUERY" FOLDER --top 5 --format jsonl > hits.jsonl
    python docs/images/search.py docs/images/search.png "QUERY" hits.jsonl ["QUERY" hits.jsonl ...]
"""
import json
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, EDGE = 180, 12, 20
ROW = 44 + 14 + SIDE + 46  # query, gap, images, legend
INK, GREY, LINE, TRACK, BAR = "#1c2128", "#6a737d", "#c8d1da", "#eaeef2", "#2f6fdf"


def font(size, bold=False):
    return ImageFont.truetype(f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


def row(sheet, draw, top, query, hits):
    right = sheet.width - EDGE
    draw.rounded_rectangle([EDGE, top, right, top + 44], 8, outline=LINE, width=2)
    draw.text((EDGE + 14, top + 22), f'gxn search "{query}"', INK, font(17), "lm")
    for at, hit in enumerate(hits):
        x, y = EDGE + at * (SIDE + GAP), top + 44 + 14
        with Image.open(hit["path"]) as image:
            sheet.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        y += SIDE + 16
        draw.text((x, y), f"{hit['rank']}  ", INK, font(15, bold=True), "lm")
        draw.text((x + 18, y), f"score {hit['score']:.2f}", GREY, font(13), "lm")
        draw.text((x + SIDE, y), f"{100 * hit['relevance']:.0f} %", INK, font(15, bold=True), "rm")
        draw.rounded_rectangle([x, y + 13, x + SIDE, y + 19], 3, fill=TRACK)
        if hit["relevance"] * SIDE >= 6:
            draw.rounded_rectangle([x, y + 13, x + hit["relevance"] * SIDE, y + 19], 3, fill=BAR)


target, *pairs = sys.argv[1:]
rows = [(query, [json.loads(line) for line in open(path)]) for query, path in zip(pairs[::2], pairs[1::2])]
count = max(len(hits) for _, hits in rows)
width = 2 * EDGE + count * SIDE + (count - 1) * GAP
sheet = Image.new("RGB", (width, 2 * EDGE + len(rows) * ROW + (len(rows) - 1) * 16), "white")
draw = ImageDraw.Draw(sheet)
for at, (query, hits) in enumerate(rows):
    row(sheet, draw, EDGE + at * (ROW + 16), query, hits)
sheet.quantize(256, method=Image.Quantize.MEDIANCUT).save(target, optimize=True)
print(f"{target}: {sheet.width}×{sheet.height}, {pathlib.Path(target).stat().st_size // 1024} KiB")
