"""Images of CLIP ViT-B/32 with random weights, here and in onnxruntime, alternating: docs/encoders.md, "Speed".

    pip install onnx onnxruntime numpy safetensors
    cargo build --release -p gxn-pretrained --example speed
    python benches/clip_onnx.py OUT [--rounds 3] [--seconds 3]

writes the encoder's folder and its graph of plain ONNX operators (opset 17) into OUT; two threads each. The graph is made here, so that
neither PyTorch nor an exporter is needed. Times of onnxruntime are without preprocessing.
"""

import argparse
import json
import os
import pathlib
import subprocess
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

WIDTH, HIDDEN, LAYERS, HEADS, PATCH, SIDE, OUT = 768, 3072, 12, 12, 32, 224, 512
BATCHES = ("1", "8")


def weights():
    random = np.random.default_rng(0)
    normal = lambda *shape: 0.02 * random.standard_normal(shape, dtype=np.float32)
    root = "vision_model."
    found = {
        root + "embeddings.class_embedding": normal(WIDTH),
        root + "embeddings.patch_embedding.weight": normal(WIDTH, 3, PATCH, PATCH),
        root + "embeddings.position_embedding.weight": normal((SIDE // PATCH) ** 2 + 1, WIDTH),
        "visual_projection.weight": normal(OUT, WIDTH),
    }
    norms, linears = ["pre_layrnorm", "post_layernorm"], {}
    for layer in range(LAYERS):
        block = f"encoder.layers.{layer}."
        norms += [block + "layer_norm1", block + "layer_norm2"]
        linears |= {block + f"self_attn.{name}": (WIDTH, WIDTH) for name in ("q_proj", "k_proj", "v_proj", "out_proj")}
        linears |= {block + "mlp.fc1": (HIDDEN, WIDTH), block + "mlp.fc2": (WIDTH, HIDDEN)}
    for name in norms:
        found |= {f"{root}{name}.weight": np.ones(WIDTH, np.float32), f"{root}{name}.bias": normal(WIDTH)}
    for name, shape in linears.items():
        found |= {f"{root}{name}.weight": normal(*shape), f"{root}{name}.bias": normal(shape[0])}
    return found


def graph(tensors):
    nodes, constants = [], []

    def constant(value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"c{len(constants)}"))
        return constants[-1].name

    def op(kind, *inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    of = lambda name: tensors["vision_model." + name]
    norm = lambda x, name: op("LayerNormalization", x, constant(of(name + ".weight")), constant(of(name + ".bias")), axis=-1)
    linear = lambda x, name: op("Add", op("MatMul", x, constant(of(name + ".weight").T)), constant(of(name + ".bias")))
    apart, together = constant(np.array([0, 0, HEADS, WIDTH // HEADS])), constant(np.array([0, 0, WIDTH]))
    x = op("Conv", "pixel_values", constant(of("embeddings.patch_embedding.weight")), strides=[PATCH, PATCH])
    x = op("Transpose", op("Reshape", x, constant(np.array([0, WIDTH, -1]))), perm=[0, 2, 1])
    batch = op("Gather", op("Shape", "pixel_values"), constant(np.array([0])), axis=0)
    start = op("Expand", constant(of("embeddings.class_embedding")[None, None]), op("Concat", batch, constant(np.array([1, WIDTH])), axis=0))
    x = op("Add", op("Concat", start, x, axis=1), constant(of("embeddings.position_embedding.weight")[None]))
    x = norm(x, "pre_layrnorm")
    for layer in range(LAYERS):
        block = f"encoder.layers.{layer}."
        y = norm(x, block + "layer_norm1")
        heads = {name: op("Reshape", linear(y, block + f"self_attn.{name}_proj"), apart) for name in "qkv"}
        q = op("Mul", op("Transpose", heads["q"], perm=[0, 2, 1, 3]), constant(np.float32((WIDTH // HEADS) ** -0.5)))
        attention = op("Softmax", op("MatMul", q, op("Transpose", heads["k"], perm=[0, 2, 3, 1])), axis=-1)
        y = op("Transpose", op("MatMul", attention, op("Transpose", heads["v"], perm=[0, 2, 1, 3])), perm=[0, 2, 1, 3])
        x = op("Add", x, linear(op("Reshape", y, together), block + "self_attn.out_proj"))
        y = linear(norm(x, block + "layer_norm2"), block + "mlp.fc1")
        y = op("Mul", y, op("Sigmoid", op("Mul", y, constant(np.float32(1.702)))))
        x = op("Add", x, linear(y, block + "mlp.fc2"))
    x = norm(op("Gather", x, constant(np.int64(0)), axis=1), "post_layernorm")
    nodes.append(helper.make_node("MatMul", [x, constant(tensors["visual_projection.weight"].T)], ["image_embeds"]))
    pixels = helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    embeds = helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, ["batch", OUT])
    model = helper.make_model(helper.make_graph(nodes, "clip", [pixels], [embeds], constants), opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def theirs(session, batch, seconds):
    pixels = np.random.default_rng(1).random((batch, 3, SIDE, SIDE), dtype=np.float32)
    session.run(None, {"pixel_values": pixels})
    times, end = [], time.time() + seconds
    while time.time() < end:
        start = time.perf_counter()
        session.run(None, {"pixel_values": pixels})
        times.append(1e3 * (time.perf_counter() - start) / batch)
    print(f"onnxruntime  batch {batch}: median {np.median(times):.1f} ms an image, fastest {min(times):.1f}")


parser = argparse.ArgumentParser()
parser.add_argument("out", type=pathlib.Path)
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--seconds", type=float, default=3)
options = parser.parse_args()
options.out.mkdir(parents=True, exist_ok=True)
tensors = weights()
save_file(tensors, options.out / "model.safetensors")
(options.out / "config.json").write_text(json.dumps({"model_type": "clip", "projection_dim": OUT, "vision_config": {}, "text_config": {}}))
(options.out / "preprocessor_config.json").write_text(json.dumps({"size": {"shortest_edge": SIDE}, "crop_size": SIDE}))
onnx.save(graph(tensors), options.out / "clip.onnx")
settings = onnxruntime.SessionOptions()
settings.intra_op_num_threads = 2
session = onnxruntime.InferenceSession(options.out / "clip.onnx", settings, providers=["CPUExecutionProvider"])
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path(__file__).resolve().parent.parent / "target"))
example = target / "release" / "examples" / "speed"
for _ in range(options.rounds):
    for batch in BATCHES:
        theirs(session, int(batch), options.seconds)
    subprocess.run([example, options.out, "image", str(options.seconds), *BATCHES], check=True, env={**os.environ, "RAYON_NUM_THREADS": "2"})
