#!/usr/bin/env python3
"""Makes tests/train/torch_fixture.h: what PyTorch's optimizers and schedules do, in double, as exact hexadecimal numbers.

    /usr/bin/python3 tests/train/make_torch_fixture.py > tests/train/torch_fixture.h

Needs PyTorch (Debian: python3-torch). Weights and gradients follow `number`, which the test computes alike.
"""
import torch

N, STEPS, SHOWN = 6, 200, (1, 2, 3, 10, 50, 200)


def number(i, t):
    """A number in [-1, 1) with 20 bits: exact in double and float."""
    return ((i * 7919 + t * 104729 + 12345) * 69069 % 1048576 - 524288) / 524288


def run(make, rates):
    weight = torch.tensor([number(i, 0) for i in range(N)], dtype=torch.float64, requires_grad=True)
    optimizer = make([weight])
    rows = []
    for t in range(STEPS):
        optimizer.param_groups[0]["lr"] = rates(t)
        weight.grad = torch.tensor([number(i, t + 1) * 10.0 ** -(i % 3) for i in range(N)], dtype=torch.float64)
        optimizer.step()
        if t + 1 in SHOWN:
            rows.append([w.item().hex() for w in weight])
    return rows


def schedule(make, steps, peak):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=peak)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"].hex())
        optimizer.step()
        scheduler.step()
    return rates


def table(name, rows):
    print(f"static const double {name}[{len(rows)}][{len(rows[0])}] = {{")
    for row in rows:
        print("    {" + ", ".join(row) + "},")
    print("};")


print("/* Made by make_torch_fixture.py with PyTorch", torch.__version__, "*/")
print(f"enum {{ FIXTURE_N = {N}, FIXTURE_STEPS = {STEPS}, FIXTURE_SHOWN = {len(SHOWN)} }};")
print("static const int fixture_shown[] = {" + ", ".join(map(str, SHOWN)) + "};")
falling = lambda t: 0.01 / (1 + t)
table("torch_adamw_decay", run(lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1), falling))
table("torch_adamw_plain", run(lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0), falling))
table("torch_sgd_momentum", run(lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, weight_decay=0.1), falling))
table("torch_sgd_plain", run(lambda p: torch.optim.SGD(p, lr=1, momentum=0.0, weight_decay=0.1), falling))
lr = torch.optim.lr_scheduler
after = lambda main: lambda o: lr.SequentialLR(
    o, [lr.LinearLR(o, start_factor=1 / 10, total_iters=9), main(o)], milestones=[10])
table("torch_rates", [
    schedule(after(lambda o: lr.CosineAnnealingLR(o, T_max=40, eta_min=1e-4)), 50, 1e-3),
    schedule(after(lambda o: lr.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=40)), 50, 1e-3),
    schedule(after(lambda o: lr.ConstantLR(o, factor=1.0, total_iters=1)), 50, 1e-3),
])
