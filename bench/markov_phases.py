#!/usr/bin/env python3
"""Which predictor of the context does a model of Markov chains resemble, and when? From a run's checkpoints.

    heed train configs/tasks/markov.ini checkpoint.every=10 checkpoint.keep=100000 run.dir=runs/markov
    markov_phases.py runs/markov [--sequences 200]

At every checkpoint, on the same fresh chains (drawn here, not by heed): the mean over all rows of KL(p || model), in nats, for three
predictors p of the next token given x_0 .. x_r, n_b = how often b stands there, c_ab = how often b followed a (Edelman et al. 2024,
arXiv 2402.11004):

    uniform  1 / S        unigram  (n_b + 1) / (r + 1 + S)        bigram  (c_ab + 1) / (sum_b c_ab + S), a = x_r: the Bayes posterior

Against the posterior it is the model's loss above the best possible one. A predictor is passed in the order in which it is the nearest
of the three. The forward pass is written here once more, in NumPy. Needs h5py.
"""
import argparse
import configparser
import glob
import math
import sys

try:
    import h5py
    import numpy
except ModuleNotFoundError as error:
    raise SystemExit(f"{sys.executable} has no {error.name}: run this with the python3 that has it "
                     f"(on Debian /usr/bin/python3, package python3-{error.name})") from error


def chains(n_sequences, time, n_symbols, seed):
    random = numpy.random.default_rng(seed)
    matrix = random.dirichlet(numpy.ones(n_symbols), (n_sequences, n_symbols)).cumsum(-1)
    x = numpy.empty((n_sequences, time), int)
    x[:, 0] = random.integers(n_symbols, size=n_sequences)
    for t in range(1, time):
        x[:, t] = (random.random((n_sequences, 1)) > matrix[numpy.arange(n_sequences), x[:, t - 1], :-1]).sum(1)
    return x


def predictors(x, n_symbols):
    n, time = x.shape
    one = numpy.eye(n_symbols)[x]
    seen = one.cumsum(1)
    followed, bigram = numpy.zeros((n, n_symbols, n_symbols)), numpy.empty((n, time, n_symbols))
    for r in range(time):
        if r > 0:
            followed[numpy.arange(n), x[:, r - 1], x[:, r]] += 1
        row = followed[numpy.arange(n), x[:, r]] + 1
        bigram[:, r] = row / row.sum(-1, keepdims=True)
    unigram = (seen + 1) / (numpy.arange(1, time + 1)[None, :, None] + n_symbols)
    return {"uniform": numpy.full_like(unigram, 1 / n_symbols), "unigram": unigram, "bigram": bigram}


def norm(x, gain, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / numpy.sqrt((centred ** 2).mean(-1, keepdims=True) + 1e-5) * gain + bias


def rotate(x):
    pairs = x.shape[-1] // 2
    angle = numpy.arange(x.shape[-2])[:, None] * 10000.0 ** (-numpy.arange(pairs) / pairs)
    even, odd = x[..., 0::2], x[..., 1::2]
    return numpy.stack([even * numpy.cos(angle) - odd * numpy.sin(angle), even * numpy.sin(angle) + odd * numpy.cos(angle)], -1).reshape(x.shape)


def gelu(x):
    """Exact, with the error function of Abramowitz and Stegun 7.1.26 (error below 2e-7)."""
    z = numpy.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * x * (1 + numpy.sign(x) * (1 - series * numpy.exp(-z * z)))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - numpy.log(numpy.exp(x).sum(-1, keepdims=True))


def forward(p, tokens, layers, heads):
    """Log-probabilities (sequence, row, symbol) of a pre-norm decoder with rotary positions, biases and an output of its own."""
    x = p["token.weight"][tokens]
    n, time, width = x.shape
    hidden = numpy.triu(numpy.full((time, time), -numpy.inf), 1)
    for layer in range(layers):
        b = f"block.{layer}."
        h = norm(x, p[b + "norm1.gain"], p[b + "norm1.bias"]) @ p[b + "attention.qkv.weight"].T + p[b + "attention.qkv.bias"]
        q, k, v = (h[..., i * width:(i + 1) * width].reshape(n, time, heads, -1).swapaxes(1, 2) for i in range(3))
        scores = rotate(q) @ rotate(k).swapaxes(-1, -2) / math.sqrt(width // heads) + hidden
        mixed = (numpy.exp(log_softmax(scores)) @ v).swapaxes(1, 2).reshape(n, time, width)
        x = x + mixed @ p[b + "attention.out.weight"].T + p[b + "attention.out.bias"]
        h = gelu(norm(x, p[b + "norm2.gain"], p[b + "norm2.bias"]) @ p[b + "mlp.up.weight"].T + p[b + "mlp.up.bias"])
        x = x + h @ p[b + "mlp.down.weight"].T + p[b + "mlp.down.bias"]
    return log_softmax(norm(x, p["norm.gain"], p["norm.bias"]) @ p["output.weight"].T)


def phases(run, n_sequences):
    """-> the nearest predictors in their order, with the step of each one's first checkpoint; prints every checkpoint's distances."""
    config = configparser.ConfigParser()
    config.read(f"{run}/config.ini")
    model, data = config["model"], config["data"]
    assert data["task"] == "markov" and model["positions"] == "rotary" and model["bias"] == "yes" and model["tied"] == "no", run
    x, nearest = None, []
    for path in sorted(glob.glob(f"{run}/checkpoints/step-*.h5")):
        with h5py.File(path, "r") as file:
            p = {name: file["params"][name][()].astype(float) for name in file["params"]}
        if x is None:
            n_symbols = len(p["output.weight"])
            x = chains(n_sequences, int(model["time"]), n_symbols, 20241)
            known = predictors(x, n_symbols)
        log_model = forward(p, x, int(model["layers"]), int(model["heads"]))
        kl = {name: (q * (numpy.log(q) - log_model)).sum(-1).mean() for name, q in known.items()}
        step, best = int(path[-11:-3]), min(kl, key=kl.get)
        print(f"{run} step {step:6d}", *(f"{name} {value:.4f}" for name, value in kl.items()), f"nearest {best}")
        if not nearest or nearest[-1][0] != best:
            nearest.append((best, step))
    print(f"{run}: nearest", ", ".join(f"{name} from step {step}" for name, step in nearest))
    return nearest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="+")
    parser.add_argument("--sequences", type=int, default=200)
    arguments = parser.parse_args()
    for run in arguments.run:
        phases(run, arguments.sequences)


if __name__ == "__main__":
    main()
