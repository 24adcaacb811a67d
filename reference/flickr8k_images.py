"""The images of Flickr8k as the results were measured with: stretched to 224×224 pixels, JPEG of quality 85.

    pip install pillow
    python reference/flickr8k_images.py Flicker8k_Dataset $GXN_DATA/flickr8k/images

Training on the original files works too; figures may then differ by tenths.
"""
import pathlib
import sys

from PIL import Image

source, target = (pathlib.Path(argument) for argument in sys.argv[1:])
target.mkdir(parents=True, exist_ok=True)
paths = sorted(source.glob("*.jpg"))
for path in paths:
    with Image.open(path) as image:
        image.convert("RGB").resize((224, 224), Image.Resampling.BICUBIC).save(target / path.name, quality=85)
print(f"{len(paths)} images: {target}")
