"""The official text files of Flickr8k as one Karpathy JSON.

    python reference/flickr8k_json.py TEXT_FOLDER $GXN_DATA/flickr8k/dataset_flickr8k.json

TEXT_FOLDER holds Flickr8k.token.txt and Flickr_8k.{train,dev,test}Images.txt (the archive Flickr8k_text.zip). Images
come in the order of the lists: 6,000 train, 1,000 val (dev), 1,000 test, five captions each.
"""
import json
import pathlib
import re
import sys

folder, target = (pathlib.Path(argument) for argument in sys.argv[1:])
captions = {}
for line in (folder / "Flickr8k.token.txt").read_text().splitlines():
    key, text = line.split("\t")
    captions.setdefault(key.rsplit("#", 1)[0], []).append(text)
images = []
for split, name in (("train", "train"), ("val", "dev"), ("test", "test")):
    for filename in (folder / f"Flickr_8k.{name}Images.txt").read_text().split():
        number, sentences = len(images), []
        for raw in captions[filename]:
            tokens = re.findall("[a-z0-9]+(?:'[a-z]+)?", raw.lower())
            sentences.append({"tokens": tokens, "raw": raw, "imgid": number, "sentid": 5 * number + len(sentences)})
        ids = [sentence["sentid"] for sentence in sentences]
        images.append({"filename": filename, "split": split, "imgid": number, "sentids": ids, "sentences": sentences})
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text(json.dumps({"dataset": "flickr8k", "images": images}))
print(f"{len(images)} images, {sum(len(image['sentences']) for image in images)} captions: {target}")
