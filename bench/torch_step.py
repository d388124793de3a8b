#!/usr/bin/env python3
"""Tokens per second of one training step of a GPT-2 in PyTorch, on the work that `heed bench` does.

    python3 bench/torch_step.py --shape M                    one process, all threads
    python3 bench/torch_step.py --shape M --processes 2      DistributedDataParallel over gloo, one process a core

The model is nanoGPT's (pre-norm, no biases, GELU, tied classifier), the step is forward, backward, clipping at 1.0 and AdamW. The batch is the
global one: processes share it. Prints one JSON object: shape, mode, tokens_per_second (median over --repeats timed runs of --steps steps).
"""
import argparse
import json
import os
import statistics
import time

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
import torch.nn.functional as F

#         layers, heads, width, time, batch, vocab
SHAPES = {"S": (4, 4, 128, 64, 12, 65), "M": (6, 6, 384, 256, 8, 65), "L": (12, 12, 768, 64, 4, 50257)}


class LayerNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return F.layer_norm(x, self.gain.shape, self.gain, None, 1e-5)


class Block(nn.Module):
    def __init__(self, width, heads, time):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.register_buffer("mask", torch.full((time, time), float("-inf")).triu(1))

    def forward(self, x):
        B, T, C = x.shape  # batch, time, width
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.qkv(self.norm1(x)).split(C, 2))
        scores = (q @ k.transpose(-2, -1)) * (q.shape[-1] ** -0.5)
        weights = F.softmax(scores + self.mask[:T, :T], -1)
        x = x + self.out((weights @ v).transpose(1, 2).reshape(B, T, C))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class GPT(nn.Module):
    def __init__(self, layers, heads, width, time, vocab):
        super().__init__()
        self.token, self.position = nn.Embedding(vocab, width), nn.Embedding(time, width)
        self.blocks = nn.ModuleList(Block(width, heads, time) for _ in range(layers))
        self.norm = LayerNorm(width)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))


def work(rank, args):
    layers, heads, width, time_, batch, vocab = SHAPES[args.shape]
    if args.processes > 1:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", str(args.port))
        dist.init_process_group("gloo", rank=rank, world_size=args.processes)
    torch.set_num_threads(args.threads if args.processes == 1 else 1)
    torch.manual_seed(1)
    model = GPT(layers, heads, width, time_, vocab)
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.1},
         {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0}], lr=1e-4, betas=(0.9, 0.99))
    if args.processes > 1:
        model = nn.parallel.DistributedDataParallel(model)
    mine = batch // args.processes

    def step():
        tokens = torch.randint(vocab, (mine, time_ + 1))
        loss = model(tokens[:, :-1], tokens[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    for _ in range(2):
        step()
    speeds = []
    for _ in range(args.repeats):
        if args.processes > 1:
            dist.barrier()
        start = time.perf_counter()
        for _ in range(args.steps):
            step()
        if args.processes > 1:
            dist.barrier()
        speeds.append(args.steps * batch * time_ / (time.perf_counter() - start))
    if rank == 0:
        mode = f"DDP, {args.processes} processes" if args.processes > 1 else f"1 process, {args.threads} threads"
        print(json.dumps({"program": f"PyTorch {torch.__version__}", "shape": args.shape, "mode": mode,
                          "tokens_per_second": statistics.median(speeds)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="M")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--port", type=int, default=29511)
    args = parser.parse_args()
    if args.processes > 1:
        mp.spawn(work, (args,), args.processes)
    else:
        work(0, args)


if __name__ == "__main__":
    main()
