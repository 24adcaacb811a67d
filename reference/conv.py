"""Golden numbers of the convolutions: results and gradients in PyTorch.

    python reference/conv.py > crates/ops/tests/golden/conv.json
"""
import json

import torch
from torch.nn import functional as F

torch.manual_seed(5)


def flat(tensor):
    return [round(float(value), 7) for value in tensor.detach().flatten()]


def case(form, x_shape, weight_shape, bias, stride, padding):
    # In double precision, so that only our own rounding is measured.
    x, weight = (torch.randn(shape).requires_grad_() for shape in (x_shape, weight_shape))
    bias = torch.randn(weight_shape[0]).requires_grad_() if bias else None
    exact = [None if tensor is None else tensor.double() for tensor in (x, weight, bias)]
    if form == "upsampled":
        exact[0] = F.interpolate(exact[0], scale_factor=2, mode="nearest")
    out = F.conv2d(*exact, stride=stride, padding=padding)
    loss_weight = torch.randn(out.shape)
    (out * loss_weight.double()).sum().backward()
    line = {"form": form, "stride": stride, "padding": padding, "x_shape": x_shape, "weight_shape": weight_shape}
    line |= {"x": flat(x), "weight": flat(weight), "loss_weight": flat(loss_weight), "out_shape": list(out.shape)}
    line |= {"out": flat(out), "grad_x": flat(x.grad), "grad_weight": flat(weight.grad)}
    if bias is not None:
        line |= {"bias": flat(bias), "grad_bias": flat(bias.grad)}
    return line


print(
    json.dumps(
        [
            case("strided", [2, 3, 5, 7], [4, 3, 3, 3], True, 1, 1),
            case("strided", [2, 2, 5, 4], [3, 2, 3, 3], False, 1, 0),
            case("strided", [2, 3, 8, 6], [4, 3, 4, 4], False, 2, 1),
            case("strided", [3, 2, 7, 5], [2, 2, 4, 4], True, 2, 1),
            case("strided", [2, 2, 9, 5], [3, 2, 3, 3], True, 2, 1),
            case("strided", [18, 3, 4, 4], [1, 3, 4, 4], True, 4, 0),
            case("strided", [2, 5, 3, 3], [7, 5, 1, 1], False, 1, 0),
            case("upsampled", [2, 3, 4, 4], [2, 3, 3, 3], False, 1, 1),
            case("upsampled", [2, 2, 3, 5], [7, 2, 3, 3], False, 1, 1),
            case("upsampled", [17, 2, 1, 2], [3, 2, 3, 3], False, 1, 1),
        ]
    )
)
