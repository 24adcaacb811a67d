"""Features of EfficientNet-Lite2 at 260 px as people write it in PyTorch: the published package, eager, in evaluation
mode under inference_mode; PIL decodes and resizes in a pool of threads while the network runs. And backbones that are
trained with frozen batch statistics.
"""
import concurrent.futures
import io
import os
import pathlib

import numpy
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

SIDE = 260
TRAINED = 32  # images of a step that trains a backbone
BATCH = 1  # of 1, 4 and 16 the fastest on two cores, : larger maps leave the caches


def write_images(folder, count):
    """JPEG files of 224 x 224 px and about 15 kB, as Flickr8k's: smooth colours with some texture."""
    generator = numpy.random.default_rng(1)
    for number in range(count):
        coarse = Image.fromarray(generator.integers(0, 256, (9, 9, 3), dtype=numpy.uint8))
        smooth = numpy.asarray(coarse.resize((224, 224), Image.BICUBIC), dtype=numpy.float32)
        texture = generator.normal(0, 14, (224, 224, 1)).astype(numpy.float32)
        pixels = (smooth + texture).clip(0, 255).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=80)


def load(data):
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE), Image.BICUBIC)
    return torch.from_numpy((numpy.asarray(image, dtype=numpy.float32) - 127) / 128).permute(2, 0, 1)


def features(channels_last, from_jpeg):
    """The features of all images, from JPEG bytes or from tensors that are ready."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = EfficientNet.from_name("efficientnet-lite2").eval().to(memory_format=layout)
    folder = pathlib.Path(os.environ["GXN_BENCH_IMAGES"])
    files = [path.read_bytes() for path in folder.iterdir()]
    pool = concurrent.futures.ThreadPoolExecutor(torch.get_num_threads())
    ready = None if from_jpeg else [load(data) for data in files]

    def call():
        images, out = iter(pool.map(load, files) if from_jpeg else ready), []
        with torch.inference_mode():
            for start in range(0, len(files), BATCH):
                count = min(BATCH, len(files) - start)
                batch = torch.stack([next(images) for _ in range(count)]).contiguous(memory_format=layout)
                out.append(network.extract_features(batch).mean((2, 3)))
        assert torch.cat(out).shape == (len(files), 1280)

    return call


def trained(kind, channels_last):
    """Features of 32 random images and the gradients of all weights; batch normalisation with its stored statistics."""
    layout = torch.channels_last if channels_last else torch.contiguous_format
    if kind == "lite2":
        network, side = EfficientNet.from_name("efficientnet-lite2"), SIDE
        features = network.extract_features
    else:
        import torchvision

        network, side = torchvision.models.resnet50(), 224
        features = torch.nn.Sequential(*list(network.children())[:-2])
    network = network.eval().to(memory_format=layout)
    images = torch.randn(TRAINED, 3, side, side).contiguous(memory_format=layout)

    def call():
        network.zero_grad()
        features(images).mean((2, 3)).square().mean().backward()

    return call
