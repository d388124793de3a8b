#!/usr/bin/env python3
"""Makes tests/model/vectors.txt: losses, gradients and a training curve of a decoder written plainly in PyTorch, in double.

    /usr/bin/python3 tests/model/make_vectors.py > tests/model/vectors.txt

Needs PyTorch (Debian: python3-torch). The tests never run this script. Numbers are exact (hexadecimal). Initial weights follow
`number`, which the test computes alike; tensors come in the order and under the names of heed's table.
"""
import math
import pathlib

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
MASK = (1 << 64) - 1


def number(i, t):
    """A number in [-1, 1) with 20 bits, exact in double and float: splitmix64 (Steele et al. 2014) of (t, i)."""
    z = ((t << 32 | i) + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return ((z ^ z >> 31) >> 44) / 0x80000 - 1


def table(c):
    """Names and shapes, as in heed's table of tensors."""
    w, h, bias = c["width"], c["hidden"], c["bias"]
    rows = [("token.weight", (c["vocab"], w))]
    if c["positions"] == "learned":
        rows.append(("position.weight", (c["time"], w)))
    for i in range(c["layers"]):
        b = f"block.{i}."
        rows += [(b + "norm1.gain", (w,)), (b + "norm1.bias", (w,)),
                 (b + "attention.qkv.weight", (3 * w, w)), (b + "attention.qkv.bias", (3 * w,)),
                 (b + "attention.out.weight", (w, w)), (b + "attention.out.bias", (w,)),
                 (b + "norm2.gain", (w,)), (b + "norm2.bias", (w,)),
                 (b + "mlp.up.weight", (h, w)), (b + "mlp.up.bias", (h,)),
                 (b + "mlp.down.weight", (w, h)), (b + "mlp.down.bias", (w,))]
    rows += [("norm.gain", (w,)), ("norm.bias", (w,))]
    if not c["tied"]:
        rows.append(("output.weight", (c["vocab"], w)))
    return [(n, s) for n, s in rows if bias or not n.endswith(".bias")]


def initial(c):
    """Matrices number / 4, biases number / 8, gains 1 + number / 8."""
    weights = {}
    for t, (name, shape) in enumerate(table(c)):
        x = torch.tensor([number(i, t) for i in range(math.prod(shape))]).reshape(shape)
        x = x / 4 if name.endswith(".weight") else x / 8
        weights[name] = (x + 1 if name.endswith(".gain") else x).requires_grad_()
    return weights


def rotate(x):
    """Rotary positions on (heads, time, head width): neighbours (2i, 2i + 1) turn by p / 10000^(2i / head width)."""
    time, width = x.shape[-2:]
    angle = torch.arange(time)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    even, odd = x[..., 0::2], x[..., 1::2]
    turned = torch.stack((even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()), -1)
    return turned.flatten(-2)


def forward(c, weights, tokens):
    """Logits (time, vocab) of one sequence."""
    get = weights.get
    width, time = c["width"], len(tokens)
    x = weights["token.weight"][tokens]
    if c["positions"] == "learned":
        x = x + weights["position.weight"][:time]
    if c["positions"] == "sinusoidal":
        angle = torch.arange(time)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        x = x + torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)[:, :width]
    for i in range(c["layers"]):
        b = f"block.{i}."
        y = F.layer_norm(x, (width,), get(b + "norm1.gain"), get(b + "norm1.bias"), 1e-5)
        y = F.linear(y, get(b + "attention.qkv.weight"), get(b + "attention.qkv.bias"))
        q, k, v = (z.reshape(time, c["heads"], -1).transpose(0, 1) for z in y.split(width, dim=-1))
        if c["positions"] == "rotary":
            q, k = rotate(q), rotate(k)
        score = q @ k.transpose(-1, -2) / math.sqrt(width // c["heads"])
        score = score.masked_fill(torch.ones(time, time).triu(1).bool(), -math.inf)
        y = (score.softmax(-1) @ v).transpose(0, 1).reshape(time, width)
        x = x + F.linear(y, get(b + "attention.out.weight"), get(b + "attention.out.bias"))
        y = F.layer_norm(x, (width,), get(b + "norm2.gain"), get(b + "norm2.bias"), 1e-5)
        y = F.linear(y, get(b + "mlp.up.weight"), get(b + "mlp.up.bias"))
        y = {"gelu": F.gelu, "relu": F.relu, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh")}[c["activation"]](y)
        x = x + F.linear(y, get(b + "mlp.down.weight"), get(b + "mlp.down.bias"))
    x = F.layer_norm(x, (width,), get("norm.gain"), get("norm.bias"), 1e-5)
    return F.linear(x, get("token.weight" if c["tied"] else "output.weight"))


def show(kind, values):
    values = list(values)
    print(kind, len(values), *values)


def hexadecimal(values):
    return [float(v).hex() for v in values]


def show_case(c):
    for key in ("name", "layers", "heads", "width", "hidden", "time", "vocab", "tied", "bias", "positions", "activation"):
        print(key, int(c[key]) if isinstance(c[key], bool) else c[key])


def gradients(c, lengths):
    """One batch of sequences of different length, every fifth token with another weight, some left out."""
    weights = initial(c)
    draw = lambda r, t: int((number(r, t) + 1) / 2 * c["vocab"])
    n = sum(lengths)
    tokens, targets = [draw(r, 100) for r in range(n)], [draw(r, 101) for r in range(n)]
    row_weight = [(1, 1, 0.5, 1, 0)[r % 5] for r in range(n)]
    loss, first = torch.zeros(()), 0
    for length in lengths:
        rows = slice(first, first + length)
        losses = F.cross_entropy(forward(c, weights, tokens[rows]), torch.tensor(targets[rows]), reduction="none")
        loss = loss + (losses * torch.tensor(row_weight[rows])).sum()
        first += length
    loss.backward()
    show_case(c)
    show("lengths", lengths)
    show("tokens", tokens)
    show("targets", targets)
    show("weights", hexadecimal(row_weight))
    show("loss", [loss.item().hex()])
    for name, x in weights.items():
        show(name, hexadecimal(x.grad.flatten()))
    print("end")


def curve(c, text, steps, batch, peak, final, warmup):
    """AdamW on windows of a text, as heed.ini would say it: cosine schedule, decay on matrices and tables, clipping at 1."""
    weights = initial(c)
    groups = [{"params": [x for x in weights.values() if x.dim() > 1], "weight_decay": 0.1},
              {"params": [x for x in weights.values() if x.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.99), eps=1e-8)
    alphabet = sorted(set(text))
    ids = [alphabet.index(letter) for letter in text]
    c = dict(c, vocab=len(alphabet))
    starts, losses = [], []
    for step in range(steps):
        s = step - warmup
        rate = peak * (step + 1) / warmup if s < 0 else (
            final + (peak - final) * (1 + math.cos(math.pi * s / (steps - warmup))) / 2)
        loss = torch.zeros(())
        for i in range(batch):
            start = int((number(step * batch + i, 200) + 1) / 2 * (len(ids) - c["time"] - 1))
            starts.append(start)
            window = ids[start:start + c["time"] + 1]
            loss = loss + F.cross_entropy(forward(c, weights, window[:-1]), torch.tensor(window[1:]), reduction="sum")
        loss = loss / (batch * c["time"])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        losses.append(loss.item().hex())
    show_case(c)
    show("tokens", ids)
    show("starts", starts)
    show("losses", losses)
    print("end")


def main():
    SMALL = dict(layers=2, heads=3, width=12, hidden=20, time=9, vocab=13)
    print("# Made by make_vectors.py with PyTorch", torch.__version__)
    gradients(dict(SMALL, name="nanogpt", tied=True, bias=False, positions="learned", activation="gelu"), [9, 4, 1, 9])
    gradients(dict(SMALL, name="gpt2", tied=True, bias=True, positions="learned", activation="gelu_tanh"), [9, 9, 2])
    gradients(dict(SMALL, name="rotary", tied=False, bias=True, positions="rotary", activation="relu"), [5, 9, 3])
    gradients(dict(SMALL, name="sinusoidal", layers=1, tied=False, bias=False, positions="sinusoidal", activation="gelu"), [9, 7])
    gradients(dict(SMALL, name="bag", layers=1, tied=False, bias=True, positions="none", activation="gelu"), [8])

    whale = (pathlib.Path(__file__).parents[2] / "data" / "moby-dick.txt").read_text()
    chapter = whale[whale.index("Call me Ishmael."):][:3000]
    curve(dict(name="curve", layers=2, heads=3, width=24, hidden=96, time=24, vocab=len(set(chapter)), tied=True, bias=True,
               positions="learned", activation="gelu"), chapter, steps=200, batch=6, peak=2e-3, final=2e-4, warmup=20)


if __name__ == "__main__":
    main()
