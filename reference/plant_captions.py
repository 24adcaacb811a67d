"""A dataset with repeated captions, for measuring what they do to training, evaluation and calibration.

    python reference/plant_captions.py DATASET.json OUT.json [--near]

takes a dataset in Karpathy's layout. In each split half of the images are put into groups of five whose captions have similar words
(tf-idf), and every image of a group gets the first caption of one of them five times. With --near, half of these captions say "the"
for "a". Images are found beside OUT.json, as `images/`. The draw is the same every time.
"""

import argparse
import collections
import json
import math
import random
import re

SHARE = 0.5
GROUP = 5


def word_vectors(images):
    """tf-idf vectors of unit length, and for each word that fewer than 30 % of the images have, those images."""
    counts = [collections.Counter(word for sentence in image["sentences"]
                                  for word in re.findall(r"[a-z']+", sentence["raw"].lower())) for image in images]
    images_with = collections.Counter(word for count in counts for word in count)
    vectors, postings = [], collections.defaultdict(list)
    for row, count in enumerate(counts):
        vector = {word: times * math.log(len(images) / images_with[word]) for word, times in count.items()}
        length = math.sqrt(sum(value * value for value in vector.values())) or 1
        vectors.append({word: value / length for word, value in vector.items()})
        for word, value in vectors[-1].items():
            if images_with[word] < len(images) * 0.3:
                postings[word].append((row, value))
    return vectors, postings


def groups(images, draw):
    """Groups of images with similar captions, until SHARE of the images is in one."""
    vectors, postings = word_vectors(images)
    free, order = set(range(len(images))), list(range(len(images)))
    draw.shuffle(order)
    used = 0
    for first in order:
        if used >= SHARE * len(images):
            return
        if first not in free:
            continue
        scores = collections.Counter()
        for word, value in vectors[first].items():
            for row, other in postings[word]:
                scores[row] += value * other
        free.discard(first)
        group = [first] + [row for row, _ in scores.most_common() if row in free][:GROUP - 1]
        free.difference_update(group)
        used += GROUP
        yield [images[row] for row in group]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("out")
    parser.add_argument("--near", action="store_true", help='half of the repeated captions say "the" for "a"')
    args = parser.parse_args()
    with open(args.dataset, encoding="utf-8") as file:
        data = json.load(file)
    splits = collections.defaultdict(list)
    for image in data["images"]:
        splits[image["split"]].append(image)
    draw = random.Random(1)
    for name, images in splits.items():
        planted = 0
        for group in groups(images, draw):
            text = group[0]["sentences"][0]["raw"]
            for sentence in (sentence for image in group for sentence in image["sentences"]):
                near = args.near and draw.random() < 0.5
                raw = re.sub(r"\b([Aa]) ", lambda found: "The " if found[1] == "A" else "the ", text) if near else text
                sentence["raw"], sentence["tokens"] = raw, re.findall(r"\w+", raw.lower())
            planted += len(group)
        print(f"{name}: {planted} of {len(images)} images")
    with open(args.out, "w", encoding="utf-8") as file:
        json.dump(data, file)


if __name__ == "__main__":
    main()
