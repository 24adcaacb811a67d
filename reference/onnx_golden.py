"""Two small graphs for the tests of encoders in ONNX files: crates/pretrained/tests/golden/onnx.

    pip install onnx numpy
    python reference/onnx_golden.py

Images: the mean of each channel times a matrix, as `image_embeds`. Texts: the row of each token, as `last_hidden_state`, whose rows
are averaged by the reader. The test computes the same by hand.
"""
import json
import pathlib

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

OUT = pathlib.Path(__file__).resolve().parent.parent / "crates/pretrained/tests/golden/onnx"
SIDE = 4
WORDS = ["<pad>", "<unk>", "red", "green", "blue", "dog"]
MATRIX = np.array([[1, 0, 0.5, 2], [0, 1, -0.5, 1], [0.25, 0, 1, -1]], np.float32)
ROWS = np.array([[9, 9, 9, 9], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 1, 0, 2]], np.float32)


def graph(name, nodes, inputs, output, values):
    initial = [numpy_helper.from_array(value, key) for key, value in values.items()]
    model = helper.make_model(helper.make_graph(nodes, name, inputs, [output], initial), opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    checker.check_model(model)
    save(model, OUT / "onnx" / f"{name}.onnx")


(OUT / "onnx").mkdir(parents=True, exist_ok=True)
info = helper.make_tensor_value_info
graph(
    "vision_model",
    [
        helper.make_node("ReduceMean", ["pixel_values"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "matrix"], ["image_embeds"]),
    ],
    [info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
    info("image_embeds", TensorProto.FLOAT, ["batch", 4]),
    {"matrix": MATRIX},
)
graph(
    "text_model",
    [
        helper.make_node("Gather", ["rows", "input_ids"], ["last_hidden_state"], axis=0),
        # An input that nothing reads would be left out of the graph.
        helper.make_node("Identity", ["attention_mask"], ["mask"]),
    ],
    [info(key, TensorProto.INT64, ["batch", "tokens"]) for key in ("input_ids", "attention_mask")],
    info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", 4]),
    {"rows": ROWS},
)
ids = {word: number for number, word in enumerate(WORDS)}
files = {
    "config.json": {"model_type": "another-kind", "max_position_embeddings": 6},
    "preprocessor_config.json": {
        "image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}, "resample": 0,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    },
    "tokenizer_config.json": {"pad_token": "<pad>", "model_max_length": 6},
    "tokenizer.json": {
        "version": "1.0", "added_tokens": [], "normalizer": {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
        "post_processor": None, "decoder": None, "model": {"type": "WordLevel", "vocab": ids, "unk_token": "<unk>"},
    },
}
for name, content in files.items():
    (OUT / name).write_text(json.dumps(content, indent=1) + "\n")
