"""Golden numbers of Adam and AdamW: ten steps of two parameters, one of which sometimes has no gradient.

    python reference/adam.py > crates/ops/tests/golden/adam.json
"""
import json

import torch

torch.manual_seed(11)
ROWS, COLUMNS, STEPS = 3, 7, 10


def flat(tensor):
    return None if tensor is None else [round(float(value), 9) for value in tensor.detach().double().flatten()]


start_weight, start_bias = torch.randn(ROWS, COLUMNS), torch.randn(COLUMNS)
cases = []
for weight_decay in (0.0, 0.1):
    weight, bias = torch.nn.Parameter(start_weight.clone()), torch.nn.Parameter(start_bias.clone())
    rate, factor = 0.02, 0.5
    groups = [{"params": [weight], "lr": rate}, {"params": [bias], "lr": rate * factor}]
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay) if weight_decay else torch.optim.Adam(groups)
    steps = []
    for step in range(STEPS):
        weight.grad = torch.randn(ROWS, COLUMNS) * 10.0 ** (step % 4 - 2)
        bias.grad = None if step in (1, 6) else torch.randn(COLUMNS)
        optimiser.step()
        steps.append({
            "grad_weight": flat(weight.grad),
            "grad_bias": flat(bias.grad),
            "weight": flat(weight),
            "bias": flat(bias),
        })
    cases.append({"weight_decay": weight_decay, "learning_rate": rate, "bias_factor": factor, "steps": steps})
print(json.dumps({
    "rows": ROWS, "columns": COLUMNS, "weight": flat(start_weight), "bias": flat(start_bias), "cases": cases,
}))
