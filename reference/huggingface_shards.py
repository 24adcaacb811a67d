"""Small Parquet files as Hugging Face's `datasets` writes them, for the tests of gxn-data: `python huggingface_shards.py DIR`.

Needs pyarrow (written with 26.0.1). The images are BMP files of one colour, so that their bytes follow from a number.
"""
import struct, sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def bmp(seed, side=4):
    pixels = bytes((seed % 256, seed * 7 % 256, seed * 31 % 256)) * (side * side)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54 + len(pixels), 0, 0, 54, 40, side, side, 1, 24, 0, len(pixels), 2835, 2835, 0, 0) + pixels


def write(path, columns, rows_in_group=2, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows_in_group, **options)


def image(seeds, paths):
    return pa.array([{"bytes": bmp(s), "path": p} for s, p in zip(seeds, paths)], IMAGE)


def main(root):
    # A hub dataset: lists of captions, splits in file names, five compressions.
    shards = [("train-00000-of-00002", "snappy"), ("train-00001-of-00002", "zstd"), ("validation-00000-of-00001", "gzip"), ("test-00000-of-00001", "lz4")]
    for number, (name, compression) in enumerate(shards):
        seeds = [10 * number + k for k in range(3)]
        write(root / "shards" / "data" / f"{name}.parquet", {
            "image": image(seeds, [f"{seed}.jpg" for seed in seeds]),
            "caption": pa.array([[f"number {seed}", f"again {seed}"] for seed in seeds], pa.list_(pa.string())),
            "height": pa.array([4, 4, None], pa.int32()),
            "embedding": pa.array([[0.5, 1.0]] * 3, pa.list_(pa.float32())),
        }, compression=compression)
    (root / "shards" / "README.md").write_text("---\nlicense: mit\n---\n")
    # A row for each caption: the image is repeated; a dictionary holds it once. The last row has the same id, not the same image.
    write(root / "rows.parquet", {
        "image": image([1, 1, 2, 3], ["x.jpg"] * 4),
        "image_id": pa.array([7, 7, 8, 8]),
        "text": pa.array(["one", "uno", "two", "three"]),
        "split": pa.array(["train", "train", "test", "test"]),
    }, rows_in_group=4)
    # Bytes without a struct, captions in numbered columns, one of them null.
    write(root / "numbered.parquet", {
        "jpg": pa.array([bmp(5), bmp(6)], pa.binary()),
        "caption_0": pa.array(["five", "six"]),
        "caption_1": pa.array(["cinq", None]),
    }, rows_in_group=1)
    # imagefolder: a table of file names beside the images.
    (root / "folder" / "train").mkdir(parents=True, exist_ok=True)
    for k in range(2):
        (root / "folder" / "train" / f"{k}.bmp").write_bytes(bmp(k))
    write(root / "folder" / "train" / "metadata.parquet", {"file_name": pa.array(["0.bmp", "1.bmp"]), "text": pa.array(["zero", "one"])})
    # Images by address only.
    write(root / "addresses.parquet", {"url": pa.array(["https://example.org/a.jpg"]), "caption": pa.array(["a"])})
    # A codec that is not read.
    write(root / "brotli.parquet", {"image": image([1], ["1.bmp"]), "text": pa.array(["one"])}, compression="brotli")
    # One group of many rows and pages: cells are reached by skipping.
    seeds = list(range(40))
    write(root / "pages.parquet", {"image": image(seeds, [f"{s}.bmp" for s in seeds]), "text": pa.array([str(s) for s in seeds])},
          rows_in_group=40, data_page_size=300, write_batch_size=3, use_dictionary=False, compression="none")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
