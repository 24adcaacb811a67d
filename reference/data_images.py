"""Images and golden numbers for the tests of image.rs and preprocess.rs in crates/data.

Run: python reference/data_images.py   (Pillow 13.0, torchvision, numpy)
Writes crates/data/tests/golden/data/{*.jpg,*.png,*.gif,*.webp,*.tif} and preprocess.json.
"""
import hashlib, json, pathlib
import numpy as np
from PIL import Image
from torchvision import transforms as T

OUT = pathlib.Path(__file__).parent.parent / "crates/data/tests/golden/data"
OUT.mkdir(parents=True, exist_ok=True)


def scene(width, height):
    """A smooth gradient with two hard-edged boxes: shows ringing, antialiasing and orientation."""
    y, x = np.mgrid[0:height, 0:width]
    a = np.stack([x * 255 / (width - 1), y * 255 / (height - 1), 128 + 60 * np.sin(x / 3.0)], -1)
    a[: height // 3, : width // 4] = [250, 10, 20]
    a[height // 2 : height * 3 // 4, width // 2 :] = [5, 240, 30]
    return Image.fromarray(a.round().clip(0, 255).astype(np.uint8))


photo = scene(96, 64)
photo.save(OUT / "rgb.png")
photo.save(OUT / "rgb.jpg", quality=90)
photo.save(OUT / "progressive.jpg", quality=90, progressive=True)
exif = Image.Exif()
exif[0x0112] = 6  # to be turned clockwise by a quarter for display
photo.rotate(90, expand=True).save(OUT / "turned.jpg", quality=95, exif=exif)
photo.rotate(90, expand=True).save(OUT / "turned.png", exif=exif)
photo.convert("L").save(OUT / "grey.jpg", quality=90)
photo.convert("CMYK").save(OUT / "cmyk.jpg", quality=95)
photo.convert("P", palette=Image.Palette.ADAPTIVE, colors=32).save(OUT / "palette.png")
grey16 = (np.asarray(photo.convert("L")).astype(np.uint16)) * 257
Image.fromarray(grey16).save(OUT / "grey16.png")
alpha = photo.copy().convert("RGBA")
mask = np.zeros((64, 96), np.uint8); mask[:, 48:] = 255; mask[:, 40:48] = 128
alpha.putalpha(Image.fromarray(mask))
alpha.save(OUT / "alpha.png")
alpha.save(OUT / "alpha.webp", lossless=True)
frames = [photo.convert("P"), Image.new("P", photo.size, 0)]
frames[0].save(OUT / "moving.gif", save_all=True, append_images=frames[1:], duration=100)
photo.save(OUT / "rgb.tif", compression="tiff_lzw")
photo.save(OUT / "rgb.bmp")

# Resizing: Pillow's own 8-bit results on the lossless image, a 5 × 5 grid of them and their mean.
golden = []
for name, kind, side, shorter, box in [
    ("stretch bicubic down", Image.Resampling.BICUBIC, 32, None, None),
    ("stretch bilinear down", Image.Resampling.BILINEAR, 32, None, None),
    ("stretch bicubic up", Image.Resampling.BICUBIC, 130, None, None),
    ("stretch bilinear up", Image.Resampling.BILINEAR, 130, None, None),
    ("shorter then centre bilinear", Image.Resampling.BILINEAR, 28, 33, None),
    ("shorter then centre bicubic", Image.Resampling.BICUBIC, 28, 33, None),
    ("crop bicubic", Image.Resampling.BICUBIC, 40, None, (0.25, 0.125, 0.75, 0.875)),
]:
    if shorter:
        mode = {Image.Resampling.BILINEAR: T.InterpolationMode.BILINEAR, Image.Resampling.BICUBIC: T.InterpolationMode.BICUBIC}[kind]
        out = T.CenterCrop(side)(T.Resize(shorter, interpolation=mode)(photo))
    else:
        b = None if box is None else (box[0] * 96, box[1] * 64, box[2] * 96, box[3] * 64)
        out = photo.resize((side, side), kind, box=b)
    a = np.asarray(out).astype(int)
    at = np.linspace(0, side - 1, 9).round().astype(int)
    golden.append({"name": name, "side": side, "shorter": shorter, "box": box,
                   "filter": "bicubic" if kind == Image.Resampling.BICUBIC else "bilinear",
                   "mean": a.reshape(-1, 3).mean(0).round(4).tolist(), "at": at.tolist(),
                   "values": a[np.ix_(at, at)].tolist()})
# Colour conversion of CMYK as Pillow does it, for a few pixels.
cmyk = np.asarray(Image.open(OUT / "cmyk.jpg").convert("RGB")).astype(int)
pixels = [[x, y, cmyk[y, x].tolist()] for x, y in [(5, 5), (60, 10), (80, 40), (30, 60)]]
# Lossless formats, decoded by Pillow: SHA-256 of the RGB bytes of the first frame.
exact = {}
for name in ["palette.png", "moving.gif"]:
    exact[name] = hashlib.sha256(Image.open(OUT / name).convert("RGB").tobytes()).hexdigest()
json.dump({"exact": exact, "resize": golden, "cmyk": pixels}, open(OUT / "preprocess.json", "w"))
