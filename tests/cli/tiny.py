"""A run that takes a blink, for tests that need a trained model."""

import os

from program import TINY, fresh, heed

TEXT = "".join(f"The {a} {b} sat on the {c}.\n" for a in ("small", "old", "wet", "shy")
               for b in ("cat", "dog", "owl", "fox", "hen") for c in ("mat", "log", "box", "roof", "wall", "sand"))


def train(run_dir, *settings, ranks=0, **options):
    """Trains 20 steps unless settings say otherwise, on TEXT in text.txt."""
    if not os.path.exists("text.txt"):
        with open("text.txt", "w") as file:
            file.write(TEXT)
    defaults = ["data.text=text.txt", "train.steps=20", "eval.every=10", "checkpoint.every=10", "log.attention_every=10"]
    return heed("train", *TINY, *defaults, *settings, f"run.dir={run_dir}", ranks=ranks, **options)


def fresh_run(run_dir, *settings, **options):
    result = train(fresh(run_dir), *settings, **options)
    if result.status != 0:
        raise RuntimeError(result.err)
    return run_dir
