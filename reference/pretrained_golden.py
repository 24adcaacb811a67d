"""Tiny encoders with random weights, in the layout of a model hub, and what transformers makes of their inputs.

    pip install torch transformers
    python reference/pretrained_golden.py crates/pretrained/tests/golden

Each folder has config.json, weights and golden.json: pixels and tokens with their embeddings. The folders differ in family,
number format, activation, number of files and rule for a text's end.
"""
import json
import pathlib
import shutil
import sys

import torch
import transformers

STACK = dict(hidden_size=16, intermediate_size=20, num_attention_heads=2)
TEXT = dict(STACK, vocab_size=30)
VISION = dict(STACK, image_size=8, patch_size=4)
# Tokens without padding; 29 ends a text of CLIP, and one text has it twice.
TEXTS = [[28, 3, 4, 5, 29], [28, 7, 29], [28, 9, 10, 11, 12, 13, 14, 29, 5, 29], [28, 29]]


def clip(layers, act, **text):
    text = dict(TEXT, max_position_embeddings=12, num_hidden_layers=layers, hidden_act=act, **text)
    vision = dict(VISION, num_hidden_layers=layers, hidden_act=act)
    return transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=10))


def siglip():
    text = dict(TEXT, max_position_embeddings=12, num_hidden_layers=1, projection_size=20)
    vision = dict(VISION, num_hidden_layers=1)
    return transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))


def dinov2(layers):
    sizes = dict(hidden_size=16, num_attention_heads=2, num_hidden_layers=layers, mlp_ratio=1, image_size=8, patch_size=4)
    return transformers.Dinov2Model(transformers.Dinov2Config(**sizes))


def bert(layers, act):
    config = transformers.BertConfig(**TEXT, max_position_embeddings=12, num_hidden_layers=layers, hidden_act=act)
    return transformers.BertModel(config, add_pooling_layer=False)


def write_modules(folder, mode):
    modules = [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}]
    modules.append({"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    modes = {f"pooling_mode_{name}_token" + "s" * (name != "cls"): name == mode for name in ("cls", "mean", "max")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))


def randomise(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            around = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
            parameter.copy_(around + 0.3 * torch.randn_like(parameter))


def numbers(tensor, digits):
    return [round(float(value), digits) for value in tensor.detach().double().flatten()]


def pooled(output):
    return output if torch.is_tensor(output) else output.pooler_output


def padded(pad, length):
    rows = torch.tensor([tokens + [pad] * (length - len(tokens)) for tokens in TEXTS])
    mask = torch.tensor([[1] * len(tokens) + [0] * (length - len(tokens)) for tokens in TEXTS])
    return rows, mask


def embed_texts(model, mode):
    if mode is None:  # CLIP pads with its end token and masks it, SigLIP pads to all places and does not.
        clip = model.config.model_type == "clip"
        tokens, mask = padded(29 if clip else 1, 10 if clip else 12)
        return pooled(model.get_text_features(tokens, **(dict(attention_mask=mask) if clip else {})))
    tokens, mask = padded(0, 12)
    states = model(input_ids=tokens, attention_mask=mask).last_hidden_state
    weight = mask[..., None].float()
    if mode == "max":
        return states.masked_fill(weight == 0, -1e9).max(1).values
    return states[:, 0] if mode == "cls" else (states * weight).sum(1) / weight.sum(1)


def write(root, name, model, dtype, size=None, mode=None, shards="1GB"):
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    randomise(model)
    model.to(dtype).save_pretrained(folder, max_shard_size=shards)
    if mode:
        write_modules(folder, mode)
    model = model.to(torch.float32).eval()
    golden = {}
    if size:
        images = torch.randn(2, 3, *size).mul(100).round().div(100)
        features = pooled(model.get_image_features(images) if hasattr(model, "get_image_features") else model(images))
        golden |= {"size": size, "pixels": numbers(images, 2), "images": numbers(torch.nn.functional.normalize(features), 8)}
    if model.config.model_type != "dinov2":
        texts = torch.nn.functional.normalize(embed_texts(model, mode))
        golden |= {"tokens": TEXTS, "pad": 1, "texts": numbers(texts, 8)}
    (folder / "golden.json").write_text(json.dumps(golden))


def main():
    root = pathlib.Path(sys.argv[1])
    torch.manual_seed(7)
    write(root, "clip", clip(2, "quick_gelu", eos_token_id=29), torch.float16, [8, 8], shards="10KB")
    write(root, "clip_legacy", clip(1, "gelu", eos_token_id=2), torch.bfloat16, [8, 8])
    write(root, "siglip", siglip(), torch.float16, [8, 8])
    write(root, "dinov2", dinov2(2), torch.float32, [8, 8])
    write(root, "dinov2_other_size", dinov2(1), torch.bfloat16, [13, 8])
    write(root, "bert", bert(2, "gelu"), torch.float16, mode="mean")
    write(root, "bert_cls", bert(1, "gelu_new"), torch.bfloat16, mode="cls")
    write(root, "bert_max", bert(1, "relu"), torch.bfloat16, mode="max")


main()
