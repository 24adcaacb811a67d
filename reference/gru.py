"""Golden numbers of the GRU: states and gradients over packed sequences, in PyTorch.

    python reference/gru.py > crates/ops/tests/golden/gru.json
"""
import json

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.manual_seed(7)
B, T, E, H = 4, 5, 3, 4
LENGTHS = [3, 5, 1, 4]


def flat(tensor):
    return [round(float(value), 9) for value in tensor.detach().double().flatten()]


net = nn.GRU(E, H, batch_first=True, bidirectional=True)
cases = []
for with_initial in (False, True):
    x = torch.randn(B, T, E, requires_grad=True)
    initial = torch.randn(2, B, H, requires_grad=True) if with_initial else None
    net.zero_grad()
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    states, _ = pad_packed_sequence(net(packed, initial)[0], batch_first=True, total_length=T)
    weight = torch.randn(B, T, 2 * H)  # the loss is the weighted sum of all states
    (states * weight).sum().backward()
    for direction, suffix in enumerate(("", "_reverse")):
        names = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b_ih": "bias_ih_l0", "b_hh": "bias_hh_l0"}
        half = slice(direction * H, (direction + 1) * H)
        case = {"direction": ("forward", "reverse")[direction], "x": flat(x)}
        case["loss_weight"] = flat(weight[..., half])
        case["states"] = flat(states[..., half])
        for ours, theirs in names.items():
            parameter = getattr(net, theirs + suffix)
            case[ours] = flat(parameter)
            case["grad_" + ours] = flat(parameter.grad)
        if with_initial:
            case["initial"] = flat(initial[direction])
            case["grad_initial"] = flat(initial.grad[direction])
        # The gradient of x is the sum over both directions; recompute it for this one alone.
        alone = nn.GRU(E, H, batch_first=True)
        for theirs in names.values():
            getattr(alone, theirs).data = getattr(net, theirs + suffix).data
        y = x.detach().clone()
        if direction == 1:
            y = torch.stack([torch.cat([y[b, :n].flip(0), y[b, n:]]) for b, n in enumerate(LENGTHS)])
        y.requires_grad_()
        packed = pack_padded_sequence(y, LENGTHS, batch_first=True, enforce_sorted=False)
        start = None if initial is None else initial.detach()[direction : direction + 1]
        out, _ = pad_packed_sequence(alone(packed, start)[0], batch_first=True, total_length=T)
        w = weight[..., half]
        if direction == 1:
            w = torch.stack([torch.cat([w[b, :n].flip(0), w[b, n:]]) for b, n in enumerate(LENGTHS)])
        (out * w).sum().backward()
        grad = y.grad
        if direction == 1:
            grad = torch.stack([torch.cat([grad[b, :n].flip(0), grad[b, n:]]) for b, n in enumerate(LENGTHS)])
        case["grad_x"] = flat(grad)
        cases.append(case)
    total = sum(torch.tensor(case["grad_x"]) for case in cases[-2:])
    assert torch.allclose(total, x.grad.flatten(), atol=1e-5)
print(json.dumps({"batch": B, "time": T, "width": E, "hidden": H, "lengths": LENGTHS, "cases": cases}))
