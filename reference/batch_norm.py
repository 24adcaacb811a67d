"""Golden numbers of batch normalisation with its activation: results, gradients and running moments in PyTorch.

    python reference/batch_norm.py > crates/ops/tests/golden/batch_norm.json
"""
import json

import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(6)


def flat(tensor):
    return [round(float(value), 7) for value in tensor.detach().flatten()]


def case(shape, activation, training):
    channels = shape[1]
    norm = (nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d)(channels).double()
    for parameter in norm.parameters():
        parameter.data = torch.randn(channels).double()
    norm.running_mean = torch.randn(channels).double()
    norm.running_var = torch.rand(channels).double() + 0.5
    norm.train(training)
    before = {"running_mean": flat(norm.running_mean), "running_variance": flat(norm.running_var)}
    x = (torch.randn(shape) * 2 + 1).requires_grad_()
    out = norm(x.double())
    if activation == "relu":
        out = out.relu()
    elif activation == "leaky_relu":
        out = F.leaky_relu(out, 0.2)
    loss_weight = torch.randn(shape)
    (out * loss_weight.double()).sum().backward()
    line = {"training": training, "activation": activation, "shape": shape, "x": flat(x)} | before
    line |= {"scale": flat(norm.weight), "shift": flat(norm.bias), "loss_weight": flat(loss_weight), "out": flat(out)}
    line |= {"grad_x": flat(x.grad), "grad_scale": flat(norm.weight.grad), "grad_shift": flat(norm.bias.grad)}
    line |= {"new_running_mean": flat(norm.running_mean), "new_running_variance": flat(norm.running_var)}
    return line


shapes = [[3, 4, 3, 5], [2, 3, 4, 4], [5, 7]]
activations = ["none", "relu", "leaky_relu"]
print(json.dumps([case(s, a, t) for s in shapes for a in activations for t in (True, False)]))
