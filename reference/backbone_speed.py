"""Milliseconds of the same networks in PyTorch eager, on two threads: python reference/backbone_speed.py

EfficientNet-Lite2 with batch normalisation folded would be a little faster; eager users do not fold. Both memory
layouts are measured.
"""

import sys
import time

import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
torch.set_grad_enabled(False)
for name, model, side in (
    ("EfficientNet-Lite2", EfficientNet.from_name("efficientnet-lite2"), 260),
    ("ResNet-50", torchvision.models.resnet50(), 224),
    ("VGG-19", torchvision.models.vgg19(), 224),
):
    model.eval()
    for layout in (torch.contiguous_format, torch.channels_last):
        model = model.to(memory_format=layout)
        images = torch.randn(8, 3, side, side).contiguous(memory_format=layout)
        run = model.extract_features if name.startswith("Eff") else model
        run(images)
        best = float("inf")
        for _ in range(5):
            start = time.perf_counter()
            run(images)
            best = min(best, time.perf_counter() - start)
        print(f"{name}, batch 8, {str(layout)[6:]}: {best / 8 * 1e3:.2f} ms per image, {8 / best:.1f} images/s")
