#!/usr/bin/env python3
"""Makes tests/model/pairs_vectors.txt: the transformer made of PyTorch's own layers, in double.

    /usr/bin/python3 tests/model/make_pairs_vectors.py > tests/model/pairs_vectors.txt

Losses and gradients of encoder-decoders (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer) with the norm ahead of branches
and behind them, of a decoder with the norm behind (nn.TransformerEncoderLayer with a causal mask), and two training curves on
pairs. Needs PyTorch (Debian: python3-torch). The tests never run this script. Initial weights and pairs follow `number`, which
the tests compute alike; tensors come in the order and under the names of heed's table.
"""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from make_vectors import hexadecimal, number, show

START, END, SYMBOLS = 0, 1, 2  # tokens of the pairs: <s>, </s>, the first symbol


def block(c, prefix, crosses):
    """heed's names, in the order of its table, and PyTorch's, with the rows of its tensor where heed has two."""
    w = c["width"]
    own = [("norm1.gain", "norm1.weight"), ("norm1.bias", "norm1.bias"),
           ("attention.qkv.weight", "self_attn.in_proj_weight"), ("attention.qkv.bias", "self_attn.in_proj_bias"),
           ("attention.out.weight", "self_attn.out_proj.weight"), ("attention.out.bias", "self_attn.out_proj.bias")]
    cross = [("norm_cross.gain", "norm2.weight"), ("norm_cross.bias", "norm2.bias"),
             ("cross.query.weight", "multihead_attn.in_proj_weight", slice(0, w)),
             ("cross.query.bias", "multihead_attn.in_proj_bias", slice(0, w)),
             ("cross.kv.weight", "multihead_attn.in_proj_weight", slice(w, 3 * w)),
             ("cross.kv.bias", "multihead_attn.in_proj_bias", slice(w, 3 * w)),
             ("cross.out.weight", "multihead_attn.out_proj.weight"), ("cross.out.bias", "multihead_attn.out_proj.bias")]
    last = "norm3" if crosses else "norm2"
    mlp = [("norm2.gain", last + ".weight"), ("norm2.bias", last + ".bias"), ("mlp.up.weight", "linear1.weight"),
           ("mlp.up.bias", "linear1.bias"), ("mlp.down.weight", "linear2.weight"), ("mlp.down.bias", "linear2.bias")]
    rows = own + (cross if crosses else []) + mlp
    return [(prefix + row[0], row[1], row[2] if len(row) > 2 else slice(None)) for row in rows]


class Transformer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c = c
        options = dict(d_model=c["width"], nhead=c["heads"], dim_feedforward=c["hidden"], dropout=0,
                       activation=c["activation"], batch_first=True, norm_first=c["norm"] == "pre")
        crosses = c["encoder_layers"] > 0
        layer = nn.TransformerDecoderLayer if crosses else nn.TransformerEncoderLayer
        norm = lambda: nn.LayerNorm(c["width"]) if c["norm"] == "pre" else nn.Identity()
        table = lambda entries: nn.Parameter(torch.zeros(entries, c["width"]))
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**options) for _ in range(c["encoder_layers"]))
        self.decoder = nn.ModuleList(layer(**options) for _ in range(c["layers"]))
        self.encoder_norm, self.decoder_norm = norm(), norm()
        self.tables = nn.ParameterDict()
        self.names = []  # (heed's name, parameter, rows of it)
        joint = c["tied"] and not c["source_vocab"]
        if crosses:
            self.stack("encoder.", self.encoder, self.encoder_norm, None if joint else c["source_vocab"] or c["vocab"], False)
        self.stack("", self.decoder, self.decoder_norm, c["vocab"], crosses)
        if not c["tied"]:
            self.add("output.weight", table(c["vocab"]))
        if joint and crosses:
            self.tables["encoder/token/weight"] = self.tables["token/weight"]
        # A tensor of heed's table has its number there, tied ones among them.
        n = 1 if joint and crosses else 0
        with torch.no_grad():
            for t, (name, x, rows) in enumerate(self.names):
                part = x[rows]
                values = torch.tensor([number(i, t + n) for i in range(part.numel())]).reshape(part.shape)
                scale = 4 if part.dim() > 1 else 8
                x[rows] = values / scale + (1 if name.endswith(".gain") else 0)

    def add(self, name, x, rows=slice(None)):
        self.names.append((name, x, rows))
        if x.dim() > 1 and "block" not in name:
            self.tables[name.replace(".", "/")] = x

    def stack(self, prefix, layers, norm, vocab, crosses):
        table = lambda entries: nn.Parameter(torch.zeros(entries, self.c["width"]))
        if vocab:
            self.add(prefix + "token.weight", table(vocab))
        if self.c["positions"] == "learned":
            self.add(prefix + "position.weight", table(self.c["time"]))
        for i, layer in enumerate(layers):
            own = dict(layer.named_parameters())
            for name, theirs, rows in block(self.c, f"{prefix}block.{i}.", crosses):
                self.add(name, own[theirs], rows)
        for name, x in norm.named_parameters():
            self.add(prefix + "norm." + {"weight": "gain", "bias": "bias"}[name], x)

    def embed(self, prefix, tokens):
        width, time = self.c["width"], len(tokens)
        x = self.tables[prefix + "token/weight"][tokens]
        if self.c["positions"] == "learned":
            return x + self.tables[prefix + "position/weight"][:time]
        angle = torch.arange(time)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        return x * math.sqrt(width) + torch.stack((angle.sin(), angle.cos()), -1).flatten(-2)[:, :width]

    def forward(self, source, tokens):
        """Logits (time, vocab) of one pair."""
        mask = torch.ones(len(tokens), len(tokens)).triu(1).bool()
        y = self.embed("", tokens)[None]
        if self.encoder:
            memory = self.embed("encoder/", source)[None]
            for layer in self.encoder:
                memory = layer(memory)
            memory = self.encoder_norm(memory)
            for layer in self.decoder:
                y = layer(y, memory, tgt_mask=mask)
        else:
            for layer in self.decoder:
                y = layer(y, src_mask=mask)
        y = self.decoder_norm(y)[0]
        return F.linear(y, self.tables["token/weight" if self.c["tied"] else "output/weight"])

    def losses(self, source, tokens, targets):
        return F.cross_entropy(self(source, tokens), torch.tensor(targets), reduction="none",
                               label_smoothing=self.c["smoothing"])


def show_case(c):
    for key in ["name"] + [key for key in c if key != "name"]:
        print(key, int(c[key]) if isinstance(c[key], bool) else c[key])


def gradients(c, lengths, source_lengths):
    """One batch of pairs of different lengths, every fifth token with another weight, some left out."""
    model = Transformer(c)
    draw = lambda r, t, vocab: int((number(r, t) + 1) / 2 * vocab)
    n, n_source = sum(lengths), sum(source_lengths)
    tokens, targets = ([draw(r, t, c["vocab"]) for r in range(n)] for t in (100, 101))
    sources = [draw(r, 102, c["source_vocab"] or c["vocab"]) for r in range(n_source)]
    weight = [0.0 if r % 7 == 3 else 0.5 if r % 5 == 1 else 1.0 for r in range(n)]
    loss, first, first_source = torch.zeros(()), 0, 0
    for length, source_length in zip(lengths, source_lengths):
        rows = slice(first, first + length)
        losses = model.losses(sources[first_source:first_source + source_length], tokens[rows], targets[rows])
        loss = loss + (losses * torch.tensor(weight[rows])).sum()
        first, first_source = first + length, first_source + source_length
    loss.backward()
    show_case(c)
    for key, values in (("lengths", lengths), ("source_lengths", source_lengths), ("tokens", tokens), ("targets", targets),
                        ("sources", sources)):
        show(key, values)
    show("weights", hexadecimal(weight))
    show("loss", [loss.item().hex()])
    for name, x, rows in model.names:
        show(name, hexadecimal(x.grad[rows].flatten()))
    print("end")


def pair(c, index):
    """A list of 2 to time - 1 symbols, and the same backwards."""
    length = 2 + int((number(index, 300) + 1) / 2 * (c["time"] - 2))
    symbols = [SYMBOLS + int((number(index * c["time"] + i, 301) + 1) / 2 * (c["vocab"] - SYMBOLS)) for i in range(length)]
    return symbols + [END], [START] + symbols[::-1], symbols[::-1] + [END]


def curve(c, steps, batch, peak, warmup):
    """AdamW: inverse-square-root schedule, decay on matrices and tables, clipping at 1."""
    model = Transformer(c)
    weights = list(model.parameters())
    groups = [{"params": [x for x in weights if x.dim() > 1], "weight_decay": 0.1},
              {"params": [x for x in weights if x.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.99), eps=1e-8)
    losses = []
    for step in range(steps):
        loss, n = torch.zeros(()), 0
        for i in range(batch):
            source, tokens, targets = pair(c, step * batch + i)
            loss = loss + model.losses(source, tokens, targets).sum()
            n += len(tokens)
        loss = loss / n
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = peak * (step + 1) / warmup if step < warmup else peak * math.sqrt(warmup / (step + 1))
        optimizer.step()
        losses.append(loss.item().hex())
    show_case(c)
    show("losses", losses)
    print("end")


SMALL = dict(heads=3, width=12, hidden=20, time=9, vocab=13)
JOINT = dict(SMALL, tied=True, source_vocab=0, positions="sinusoidal", scale=True, activation="relu", smoothing=0.1)


def main():
    print("# Made by make_pairs_vectors.py with PyTorch", torch.__version__)
    gradients(dict(JOINT, name="vaswani", kind="encoder_decoder", layers=2, encoder_layers=2, norm="post"), [9, 4, 1, 6],
              [3, 9, 2, 6])
    gradients(dict(SMALL, name="ahead", kind="encoder_decoder", layers=2, encoder_layers=1, norm="pre", tied=True,
                   source_vocab=7, positions="learned", scale=False, activation="gelu", smoothing=0.0), [9, 9, 2], [1, 9, 5])
    gradients(dict(SMALL, name="untied", kind="encoder_decoder", layers=1, encoder_layers=2, norm="pre", tied=False,
                   source_vocab=0, positions="learned", scale=False, activation="gelu", smoothing=0.2), [5, 9, 3], [9, 1, 1])
    gradients(dict(JOINT, name="behind", kind="decoder", layers=2, encoder_layers=0, norm="post"), [9, 7, 1], [1, 1, 1])
    for norm in ("post", "pre"):
        curve(dict(JOINT, name="curve_" + norm, kind="encoder_decoder", layers=2, encoder_layers=2, norm=norm, hidden=48,
                   width=24, vocab=11), steps=200, batch=6, peak=2e-3, warmup=20)


if __name__ == "__main__":
    main()
