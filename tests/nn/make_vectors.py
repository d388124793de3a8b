#!/usr/bin/python3
"""Makes tests/nn/torch_vectors.txt: inputs, outputs and gradients of every layer as PyTorch has them, in double.

Run by hand (Debian's python3-torch): tests/nn/make_vectors.py > tests/nn/torch_vectors.txt
An array is a line "name count" and a line of numbers. Inputs are multiples of 1/64, exact in single precision.
"""
import math

import torch
import torch.nn.functional as F

torch.manual_seed(1851)
torch.set_default_dtype(torch.float64)


def given(*shape, scale=1.0, gradient=True):
    return (torch.round(torch.randn(*shape) * scale * 64) / 64).requires_grad_(gradient)


def write(name, tensor):
    values = tensor.detach().reshape(-1).tolist()
    print(f"{name} {len(values)}")
    print(*(repr(v) for v in values))


def write_case(name, inputs, output, result="y"):
    """Writes inputs, output, a random gradient of the output, and the gradients of the inputs that it gives."""
    d_output = given(*output.shape, gradient=False)
    output.backward(d_output)
    write(f"{name}.{result}", output)
    write(f"{name}.d_{result}", d_output)
    for key, tensor in inputs.items():
        write(f"{name}.{key}", tensor)
        if tensor.requires_grad:
            write(f"{name}.d_{key}", tensor.grad)


def linear():
    x, weight, bias = given(5, 7), given(3, 7), given(3)
    write_case("linear", {"x": x, "weight": weight, "bias": bias}, F.linear(x, weight, bias))


def norm():
    x, gain, bias = given(4, 7), given(7), given(7)
    write_case("norm", {"x": x, "gain": gain, "bias": bias}, F.layer_norm(x, (7,), gain, bias, 1e-5))
    x, gain = given(3, 19), given(19)
    write_case("norm_no_bias", {"x": x, "gain": gain}, F.layer_norm(x, (19,), gain, None, 1e-5))


def activation():
    for name, f in (("gelu", F.gelu), ("gelu_tanh", lambda t: F.gelu(t, approximate="tanh")), ("relu", F.relu)):
        x = given(61, scale=2.0)
        write_case(name, {"x": x}, f(x))


def embedding():
    # two sequences, of 4 and 3 tokens
    token = torch.tensor([1, 0, 4, 1, 4, 4, 2])
    place = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    table, positions = given(5, 6), given(4, 6)
    y = 1.5 * F.embedding(token, table) + F.embedding(place, positions)
    write_case("embedding", {"table": table, "positions": positions}, y)


def positions():
    time, width = 9, 10
    place = torch.arange(time).unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    table = torch.zeros(time, width)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)
    write("sinusoidal.table", table)

    # one sequence of 9 tokens, 2 heads of 10, each pair of channels a complex number that is turned
    x = given(time, 2, width)
    turn = torch.polar(torch.ones(time, width // 2), place * rate).unsqueeze(1)
    y = torch.view_as_real(torch.view_as_complex(x.reshape(time, 2, width // 2, 2)) * turn).reshape(time, 2, width)
    write_case("rotary", {"x": x}, y)


def attend(query, key, value, heads, causal, scale):
    length, width = query.shape
    q, k, v = (t.reshape(t.shape[0], heads, width // heads).transpose(0, 1) for t in (query, key, value))
    score = scale * q @ k.transpose(1, 2)
    if causal:
        score = score.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf)
    return (score.softmax(-1) @ v).transpose(0, 1).reshape(length, width)


def attention(cases=(
    ("attention_causal", (5, 1, 3), (5, 1, 3), True),
    ("attention_cross", (2, 4, 3), (6, 1, 3), False),
)):
    for name, lengths, key_lengths, causal in cases:
        heads, width = 2, 6
        query, key, value = given(sum(lengths), width), given(sum(key_lengths), width), given(sum(key_lengths), width)
        parts = zip(query.split(lengths), key.split(key_lengths), value.split(key_lengths))
        y = torch.cat([attend(q, k, v, heads, causal, 0.5) for q, k, v in parts])
        write_case(name, {"query": query, "key": key, "value": value}, y)


def loss():
    x, weight = given(6, 5), given(9, 5)
    target = torch.tensor([0, 8, 3, 3, 7, 1])
    token_weight = torch.tensor([1.0, 0.0, 2.0, 0.5, 1.0, 1.0])
    y = token_weight * F.cross_entropy(F.linear(x, weight), target, reduction="none")
    y.sum().backward()
    for key, tensor in (("x", x), ("weight", weight), ("token_weight", token_weight), ("y", y), ("d_x", x.grad),
                        ("d_weight", weight.grad)):
        write(f"loss.{key}", tensor)


def long_attention():
    """More queries than a group has, and groups that are full by half or less."""
    attention((
        ("attention_long", (53, 5, 33), (53, 5, 33), True),
        ("attention_long_cross", (40, 1, 18), (37, 20, 70), False),
    ))


for case in (linear, norm, activation, embedding, positions, attention, loss, long_attention):
    case()
