#!/usr/bin/env python3
"""The model of configs/gospels.ini, or another encoder-decoder on pairs, trained in PyTorch: is heed's result what PyTorch's is?

    heed train configs/gospels.ini
    python3 bench/torch_pairs.py runs/gospels --seed 1

Reads config.ini and tokens.h5 of a run of heed's: the same tokens and the same split, the same number of pairs a step, steps, optimiser (AdamW,
no decay on vectors), schedule (warm-up, cosine), clipping, label smoothing, initialisation, dropout at the same places. The model is made of
nn.TransformerEncoderLayer and nn.TransformerDecoderLayer with the norm ahead, sinusoidal positions, one table for both vocabularies and the
output. Random numbers and the order of the pairs are PyTorch's own. Prints one JSON object: validation loss (nats a token, ends among them,
without smoothing, over all pairs kept for validation), and chrF and exact matches of the answers that the likeliest token each time gives,
by the definition of tests/cli/answer_test.py. Needs torch and h5py.
"""
import argparse
import configparser
import json
import math
import sys
import time
from collections import Counter

import h5py
import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F


def read_pairs(path):
    with h5py.File(path, "r") as file:
        first, pieces = file["tokenizer/first"][:], file["tokenizer/bytes"][:].tobytes()
        token = [pieces[begin:end] for begin, end in zip(first, first[1:])]
        assert "source_tokenizer" not in file, "a joint vocabulary is expected"
        split = {}
        for name in "train", "valid":
            sides = []
            for side in "source", "target":
                x, at = file[f"{name}/{side}"][:].astype(int), file[f"{name}/{side}_first"][:].astype(int)
                sides.append([x[begin:end].tolist() for begin, end in zip(at, at[1:])])
            split[name] = list(zip(*sides))
    return token, split


class Model(nn.Module):
    def __init__(self, c, vocab):
        super().__init__()
        width, heads, layers, dropout = int(c["width"]), int(c["heads"]), int(c["layers"]), float(c["dropout"])
        assert c["positions"] == "sinusoidal" and c["norm"] == "pre" and c["tied"] == "yes" and c["bias"] == "yes" and c["init"] == "xavier"
        options = dict(d_model=width, nhead=heads, dim_feedforward=int(c["hidden"]), dropout=dropout, activation=c["activation"], batch_first=True,
                       norm_first=True)
        self.encoder = nn.ModuleList(nn.TransformerEncoderLayer(**options) for _ in range(int(c["encoder_layers"]) or layers))
        self.decoder = nn.ModuleList(nn.TransformerDecoderLayer(**options) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.table = nn.Parameter(torch.empty(vocab, width).normal_(0, float(c["init_std"])))
        self.scale = math.sqrt(width) if c["scale_embeddings"] == "yes" else 1
        self.dropout = nn.Dropout(dropout)
        angle = torch.arange(int(c["time"]))[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
        self.register_buffer("places", torch.stack((angle.sin(), angle.cos()), -1).flatten(-2))
        for layer in [*self.encoder, *self.decoder]:
            layer.dropout = nn.Dropout(0)  # heed drops nothing inside the feed-forward layer
            for name, p in layer.named_parameters():
                if name.endswith("in_proj_weight") and "multihead" in name:  # heed has queries apart from keys and values
                    nn.init.xavier_uniform_(p[:width].data), nn.init.xavier_uniform_(p[width:].data)
                elif p.dim() > 1:
                    nn.init.xavier_uniform_(p)
                elif "norm" not in name:
                    nn.init.zeros_(p)

    def embed(self, tokens):
        return self.dropout(self.table[tokens] * self.scale + self.places[:tokens.shape[1]])

    def encode(self, source, hidden):
        x = self.embed(source)
        for layer in self.encoder:
            x = layer(x, src_key_padding_mask=hidden)
        return self.encoder_norm(x)

    def decode(self, tokens, memory, hidden):
        mask = torch.ones(tokens.shape[1], tokens.shape[1]).triu(1).bool()
        x = self.embed(tokens)
        for layer in self.decoder:
            x = layer(x, memory, tgt_mask=mask, memory_key_padding_mask=hidden)
        return self.decoder_norm(x) @ self.table.T


def padded(lists, fill=0):
    most = max(map(len, lists))
    return torch.tensor([x + [fill] * (most - len(x)) for x in lists])


def batch_of(pairs, begin, end):
    source = padded([s + [end] for s, _ in pairs])
    hidden = padded([[0] * (len(s) + 1) for s, _ in pairs], 1).bool()
    return source, hidden, padded([[begin] + t for _, t in pairs]), padded([t + [end] for _, t in pairs], -100)


def learning_rate(c, step):
    peak, final, steps, warmup = (float(c[key]) for key in ("peak_lr", "final_lr", "steps", "warmup"))
    assert c["schedule"] == "cosine"
    if step < warmup:
        return peak * (step + 1) / warmup
    return final + (peak - final) * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def train(model, c, pairs, marks):
    decaying = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": float(c["weight_decay"])}, {"params": others, "weight_decay": 0}],
                                  betas=(float(c["beta1"]), float(c["beta2"])), eps=float(c["eps"]))
    order, n = [], int(c["batch"])
    for step in range(int(c["steps"])):
        if not order:
            order = torch.randperm(len(pairs)).tolist()
        chosen, order = sorted((pairs[i] for i in order[:n]), key=lambda pair: max(map(len, pair))), order[n:]
        count = sum(len(target) + 1 for _, target in chosen)
        optimizer.zero_grad()
        for at in range(0, len(chosen), 8):  # pairs of like length, so that little is padded: the sum is that of the whole batch
            source, hidden, tokens, targets = batch_of(chosen[at:at + 8], *marks)
            logits = model.decode(tokens, model.encode(source, hidden), hidden)
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum",
                                   label_smoothing=float(c["label_smoothing"])) / count
            loss.backward()
        if step % 100 == 0:
            print(f"step {step}: {loss.item() * count / (targets >= 0).sum().item():.3f} nats a token of the longest pairs", file=sys.stderr)
        nn.utils.clip_grad_norm_(model.parameters(), float(c["clip"]))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(c, step)
        optimizer.step()


@torch.no_grad()
def validation_loss(model, pairs, marks):
    total = count = 0
    for at in range(0, len(pairs), 32):
        source, hidden, tokens, targets = batch_of(pairs[at:at + 32], *marks)
        logits = model.decode(tokens, model.encode(source, hidden), hidden)
        total += F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum").item()
        count += (targets >= 0).sum().item()
    return total / count


@torch.no_grad()
def answers(model, pairs, marks, most):
    begin, end = marks
    found = []
    for at in range(0, len(pairs), 64):
        source, hidden, _, _ = batch_of(pairs[at:at + 64], *marks)
        memory, tokens = model.encode(source, hidden), torch.full((len(source), 1), begin)
        ended = torch.zeros(len(source)).bool()
        for _ in range(most):
            logits = model.decode(tokens, memory, hidden)[:, -1]
            logits[:, begin] = -math.inf
            chosen = torch.where(ended, end, logits.argmax(-1))
            tokens, ended = torch.cat((tokens, chosen[:, None]), 1), ended | (chosen == end)
            if ended.all() or tokens.shape[1] == most:
                break
        found += [row[1:row.index(end)] if end in row else row[1:] for row in tokens.tolist()]
    return found


def chrf(hypotheses, references):
    """Popovic 2015, with beta 2, from counters of n-grams."""
    precision, recall = [], []
    for n in range(1, 7):
        common = of_hypotheses = of_references = 0
        for texts in zip(hypotheses, references):
            h, r = (Counter(text[i:i + n] for i in range(len(text) - n + 1)) for text in ("".join(text.split()) for text in texts))
            common += sum((h & r).values())
            of_hypotheses += sum(h.values())
            of_references += sum(r.values())
        if of_hypotheses and of_references:
            precision.append(common / of_hypotheses)
            recall.append(common / of_references)
    p, r = sum(precision) / len(precision), sum(recall) / len(recall)
    return 100 * 5 * p * r / (4 * p + r) if p + r else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, help="instead of the run's")
    arguments = parser.parse_args()
    config = configparser.ConfigParser(inline_comment_prefixes=(";", "#"))
    config.read(f"{arguments.run}/config.ini")
    model_config, train_config = config["model"], config["train"]
    if arguments.steps:
        train_config["steps"] = str(arguments.steps)
    token, split = read_pairs(f"{arguments.run}/tokens.h5")
    marks, most = (token.index(b"<s>"), token.index(b"</s>")), int(model_config["time"])
    pairs = {name: [pair for pair in split[name] if max(map(len, pair)) < most] for name in split}
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    numpy.random.seed(arguments.seed)
    model, started = Model(model_config, len(token)), time.monotonic()
    train(model, train_config, pairs["train"], marks)
    seconds = time.monotonic() - started
    model.eval()
    text = lambda tokens: b"".join(token[t] for t in tokens).decode("utf-8", "replace")
    told = answers(model, pairs["valid"], marks, most)
    print(json.dumps({"seed": arguments.seed, "seconds": seconds, "parameters": sum(p.numel() for p in model.parameters()),
                      "valid_loss": validation_loss(model, pairs["valid"], marks),
                      "chrf": chrf([text(t) for t in told], [text(t) for _, t in pairs["valid"]]),
                      "exact": numpy.mean([t == wanted for t, (_, wanted) in zip(told, pairs["valid"])])}))


if __name__ == "__main__":
    main()
