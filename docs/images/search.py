"""Draws docs/images/search.png from the hits that `gxn search --format jsonl` printed.

    pip install pillow
    gxn search "QUERY" FOLDER --top 5 --format jsonl > hits.jsonl
    python docs/images/search.py "QUERY" hits.jsonl docs/images/search.png
"""
import json
import pathlib
import sys

from PIL import Image, ImageDraw, ImageFont

SIDE, GAP, EDGE = 232, 14, 24
INK, GREY, LINE, BAR = "#1c2128", "#6a737d", "#d0d7de", "#2f6fdf"


def font(size, bold=False):
    return ImageFont.truetype(f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)


query, hits, target = sys.argv[1:]
hits = [json.loads(line) for line in pathlib.Path(hits).read_text().splitlines()]
width = 2 * EDGE + len(hits) * SIDE + (len(hits) - 1) * GAP
sheet = Image.new("RGB", (width, 400), "white")
draw = ImageDraw.Draw(sheet)
draw.rounded_rectangle([EDGE, EDGE, width - EDGE, EDGE + 52], 10, outline=LINE, width=2)
draw.text((EDGE + 18, EDGE + 26), f'gxn search "{query}"', INK, font(21), "lm")
for at, hit in enumerate(hits):
    x, y = EDGE + at * (SIDE + GAP), EDGE + 52 + 20
    with Image.open(hit["path"]) as image:
        sheet.paste(image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
    y += SIDE + 20
    draw.text((x, y), f"{hit['rank']}", INK, font(19, bold=True), "lm")
    draw.text((x + 24, y), f"score {hit['score']:.3f}", GREY, font(16), "lm")
    relevance = hit["relevance"]
    draw.text((x + SIDE, y), f"{100 * relevance:.0f} %", INK, font(19, bold=True), "rm")
    draw.rounded_rectangle([x, y + 18, x + SIDE, y + 26], 4, fill="#eaeef2")
    if relevance * SIDE >= 8:
        draw.rounded_rectangle([x, y + 18, x + relevance * SIDE, y + 26], 4, fill=BAR)
draw.text((width - EDGE, 385), "% = calibrated probability that the image matches", GREY, font(13), "rm")
sheet.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)
