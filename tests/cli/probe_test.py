"""heed probe against the same interventions on the same weights, written once more in numpy: a model, a task and four
sequences, all read from files by h5py."""

import json
import os
import shutil
import unittest

from program import TINY, Case, fresh, heed, main
from tiny import fresh_run

try:
    import h5py
    import numpy as np
except ImportError:
    h5py = None

TIME = 16
INDUCTION = [*TINY, "model.layers=2", "model.bias=yes", "data.task=induction", f"data.task_length={TIME}",
             "data.task_symbols=12", "data.task_valid=12", "train.schedule=constant", "train.peak_lr=2e-2",
             "train.steps=60", "eval.every=60", "checkpoint.every=60", "model.init=xavier", "model.init_std=0.5",
             "model.activation=gelu_tanh"]


class Model:
    """A pre-norm decoder with learned places. change(layer, weights, values) -> the heads' output, or None."""

    def __init__(self, path):
        with h5py.File(path, "r") as file:
            self.p = {name: array[()].astype(float) for name, array in file["params"].items()}
        self.layers = sum(name.endswith("norm1.gain") for name in self.p)
        self.heads, self.width = 2, self.p["token.weight"].shape[1]
        self.head_width = self.width // self.heads

    def linear(self, x, name):
        return x @ self.p[name + ".weight"].T + self.p.get(name + ".bias", 0)

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * self.p[name + ".gain"] + self.p[name + ".bias"]

    def split(self, x):
        return x.reshape(len(x), self.heads, self.head_width).transpose(1, 0, 2)

    def attend(self, layer, x, visible):
        """Weights (heads, query, key) and values (heads, key, head_width)."""
        name, n = f"block.{layer}.attention", len(x)
        query, key, value = map(self.split, np.split(self.linear(x, name + ".qkv"), 3, -1))
        score = query @ key.transpose(0, 2, 1) / np.sqrt(self.head_width)
        if name + ".table" in self.p:
            table = self.p[name + ".table"].reshape(self.heads, -1)
            score = np.zeros_like(score)
            for i in range(n):
                score[:, i, :i + 1] = np.sqrt(self.head_width) * table[:, i * (i + 1) // 2:(i + 1) * (i + 2) // 2]
        weights = np.where(visible, np.exp(score - score.max(-1, keepdims=True)), 0)
        return weights / weights.sum(-1, keepdims=True), value

    def run(self, tokens, target, change=None, visible=None):
        """Loss of every row; weights and values of every layer."""
        n, seen = len(tokens), []
        visible = np.tril(np.ones((n, n))) if visible is None else visible
        x = self.p["token.weight"][tokens] + self.p["position.weight"][:n]
        for layer in range(self.layers):
            name = f"block.{layer}"
            weights, values = self.attend(layer, self.norm(x, name + ".norm1"), visible)
            seen.append((weights, values))
            mixed = weights @ values
            mixed = mixed if change is None else change(layer, weights, values, mixed.copy())
            x = x + self.linear(mixed.transpose(1, 0, 2).reshape(n, -1), name + ".attention.out")
            up = self.linear(self.norm(x, name + ".norm2"), name + ".mlp.up")
            active = up / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (up + 0.044715 * up ** 3)))
            x = x + self.linear(active, name + ".mlp.down")
        logits = self.norm(x, "norm") @ self.p.get("output.weight", self.p["token.weight"]).T
        logits -= logits.max(-1, keepdims=True)
        return np.log(np.exp(logits).sum(-1)) - logits[np.arange(n), target], seen


class Data:
    """The four sequences that a probe of four shows. Scored: rows whose token was met before."""

    def __init__(self, file):
        self.token, self.target = file["token"][:], file["target"][:]
        self.scored = np.array([[token[r] in token[:r] for r in range(TIME)] for token in self.token])
        self.truth = [[[j for j in range(1, r + 1) if token[j - 1] == token[r]] for r in range(TIME)]
                      for token in self.token]

    def losses(self, model, change=lambda s: None, visible=None):
        return np.array([model.run(self.token[s], self.target[s], change(s), visible)[0] for s in range(4)])


def ratio(difference, scored):
    """Sum over rows by their number, over all sequences and both halves, with standard errors."""
    found = []
    for part in slice(0, 4), slice(0, 2), slice(2, 4):
        d, w = (difference * scored)[part].sum(1), scored[part].sum(1)
        mean, n = d.sum() / w.sum(), len(d)
        found.append((mean, np.sqrt(n / (n - 1) * ((d - mean * w) ** 2).sum()) / w.sum()))
    return np.array(found)


@unittest.skipIf(h5py is None, "no h5py with numpy")
class Probe(Case):
    @classmethod
    def setUpClass(cls):
        for name, settings in ("run", []), ("table", ["model.attention=position"]):
            result = heed("train", "--quiet", *INDUCTION, *settings, f"run.dir={fresh(name)}")
            assert result.status == 0, result.err
            result = heed("probe", name, "-n", "4", "--json", name + ".json")
            assert result.status == 0, result.err
        cls.out = result.out
        cls.file = h5py.File("run/probe.h5", "r")
        cls.model = Model("run/checkpoints/step-00000060.h5")
        cls.data = Data(cls.file)
        cls.base = cls.data.losses(cls.model)
        cls.seen = [cls.model.run(cls.data.token[s], cls.data.target[s])[1] for s in range(4)]

    def close(self, found, expected, what, within=2e-5):
        np.testing.assert_allclose(np.asarray(found, float), expected, rtol=within, atol=within, err_msg=str(what))

    def test_loss_and_loss_by_position(self):
        expected = ratio(self.base, self.data.scored)
        self.close(self.file["loss"], expected[:, 0], "loss")
        self.close(self.file["loss_error"], expected[:, 1], "loss_error")
        n = self.data.scored.sum(0)
        self.close(self.file["position_count"], n, "count")
        with np.errstate(invalid="ignore"):
            self.close(self.file["position_loss"], (self.base * self.data.scored).sum(0) / n, "position_loss")
        early, late = (int(self.file["in_context_" + name][()]) for name in ("early", "late"))
        often = np.flatnonzero(2 * n >= 4)
        self.assertEqual((early, late), (often[often >= TIME * 50 // 512][0], often[often <= TIME * 500 // 512][-1]))
        both = self.data.scored[:, early] & self.data.scored[:, late]
        self.close(self.file["in_context_score"][0], (self.base[:, late] - self.base[:, early])[both].mean(), "in context")

    def test_windows(self):
        """Row by row: every layer's queries see the last w tokens before the predicted one, and no others."""
        i, j = np.indices((TIME, TIME))
        for run, model in ("run", self.model), ("table", Model("table/checkpoints/step-00000060.h5")):
            with h5py.File(run + "/probe.h5", "r") as file:
                data = Data(file)
                base = data.losses(model)
                self.assertEqual(list(file["window"]), [1, 2, 4, 8, 16])
                for w, window in enumerate(file["window"]):
                    loss = np.zeros((4, TIME))
                    for row in range(TIME):
                        seen = (j <= i) & ((j > row - window) | (i <= row - window))  # earlier rows do not matter
                        loss[:, row] = data.losses(model, visible=seen)[:, row]
                    mean, error = ratio(loss - base, data.scored)[0]
                    self.close(file["window_loss"][w], file["loss"][0] + mean, (run, window))
                    self.close(file["window_error"][w], error, (run, window))
                    span = data.losses(model, visible=(j <= i) & (j > i - window))
                    mean, error = ratio(span - base, data.scored)[0]
                    self.close(file["span_loss"][w], file["loss"][0] + mean, (run, "span", window))
                    self.close(file["span_error"][w], error, (run, "span", window))
                if run == "run":  # all is visible, and the same code computes it
                    self.assertEqual(file["window_error"][4], 0)

    def test_every_head_changed(self):
        model, data = self.model, self.data
        outputs = np.array([[weights @ values for weights, values in layers] for layers in self.seen])
        mean = outputs.mean((0, 3))                                                    # (layer, head, width)
        places = np.array([[weights for weights, _ in layers] for layers in self.seen]).mean(0)
        equal = np.tril(np.ones((TIME, TIME))) / np.arange(1, TIME + 1)[:, None]
        changes = {
            "ablate_zero": lambda s, l, h, weights, values: 0,
            "ablate_mean": lambda s, l, h, weights, values: mean[l, h],
            "ablate_uniform": lambda s, l, h, weights, values: equal @ values[h],
            "ablate_places": lambda s, l, h, weights, values: places[l, h] @ values[h]}
        for name, new in changes.items():
            for layer in range(2):
                for head in range(2):
                    def change(s, layer=layer, head=head, new=new):
                        def at(at_layer, weights, values, mixed):
                            if at_layer == layer:
                                mixed[head] = new(s, layer, head, weights, values)
                            return mixed
                        return at
                    expected = ratio(data.losses(model, change) - self.base, data.scored)
                    self.close(self.file[name][:, layer, head], expected[:, 0], (name, layer, head), 5e-5)
                    self.close(self.file[name + "_error"][:, layer, head], expected[:, 1], (name, layer, head), 5e-5)

    def test_values_of_another_sequence(self):
        """Both sequences of a pair are changed, so layers below the patched one are as they were, and its own values
        are those of the other sequence as it was."""
        for layer in range(2):
            for head in range(2):
                def change(s, layer=layer, head=head):
                    def at(at_layer, weights, values, mixed):
                        if at_layer == layer:
                            mixed[head] = weights[head] @ self.seen[s ^ 1][layer][1][head]
                        return mixed
                    return at
                expected = ratio(self.data.losses(self.model, change) - self.base, self.data.scored)
                self.close(self.file["patch_values"][:, layer, head], expected[:, 0], (layer, head), 5e-5)
                self.close(self.file["patch_values_error"][:, layer, head], expected[:, 1], (layer, head), 5e-5)

    def test_scores(self):
        for layer in range(2):
            for head in range(2):
                for k, part in enumerate((range(4), range(2), range(2, 4))):
                    previous, repeated, entropy, missed, missed_next = [], [], [], [], []
                    for s in part:
                        a, token = self.seen[s][layer][0][head], self.data.token[s]
                        previous += [a[r, r - 1] for r in range(1, TIME)]
                        repeated += [(a[r, [j for j in range(r) if token[j] == token[r]]].sum(),
                                      a[r, self.data.truth[s][r]].sum()) for r in range(TIME) if token[r] in token[:r]]
                        entropy += [-(row[row > 0] * np.log(row[row > 0])).sum() for row in a]
                        asked = [r for r in range(TIME) if self.data.truth[s][r]]
                        missed += [a[r, :r + 1].argmax() not in self.data.truth[s][r] for r in asked]
                        missed_next += [a[r + 1, :r + 2].argmax() not in self.data.truth[s][r] for r in asked if r + 1 < TIME]
                    expected = {"previous": np.mean(previous), "duplicate": np.mean(repeated, 0)[0],
                                "induction": np.mean(repeated, 0)[1], "on_target": np.mean(repeated, 0)[1],
                                "entropy": np.mean(entropy), "alignment_error": np.mean(missed),
                                "alignment_error_next": np.mean(missed_next)}
                    for name, value in expected.items():
                        self.close(self.file[name][k, layer, head], value, (name, k, layer, head))
        guess = [1 - len(t) / r for truth in self.data.truth for r, t in enumerate(truth) if t]
        self.close(self.file["alignment_error_chance"][0], np.mean(guess), "chance")

    def test_copying(self):
        """Eigenvalues of the whole circuit from tokens to tokens."""
        p, width = self.model.p, self.model.width
        centre = np.eye(width) - 1 / width
        for layer in range(2):
            for head in range(2):
                rows = slice(head * 8, head * 8 + 8)
                value = p[f"block.{layer}.attention.qkv.weight"][2 * width:][rows]
                out = p[f"block.{layer}.attention.out.weight"][:, rows]
                gain = np.diag(p[f"block.{layer}.norm1.gain"])
                circuit = (p.get("output.weight", p["token.weight"]) @ np.diag(p["norm.gain"]) @ centre @ out @ value @
                           gain @ centre @ p["token.weight"].T)
                values = np.linalg.eigvals(circuit)
                self.close(self.file["copying"][layer, head], values.sum().real / abs(values).sum(), (layer, head), 1e-4)

    def test_rollout(self):
        entropy, distance, on_target, missed = [], [], [], []
        for s in range(4):
            rolled = np.eye(TIME)
            for weights, _ in self.seen[s]:
                rolled = (weights.mean(0) + np.eye(TIME)) / 2 @ rolled
            self.close(self.file["rollout"][s], rolled, s)
            entropy += [-(row[row > 0] * np.log(row[row > 0])).sum() for row in rolled]
            distance += [(row * (r - np.arange(TIME))).sum() for r, row in enumerate(rolled)]
            for r, truth in enumerate(self.data.truth[s]):
                on_target += [rolled[r, truth].sum()] if truth else []
                missed += [rolled[r, :r + 1].argmax() not in truth] if truth else []
        for name, values in {"entropy": entropy, "distance": distance, "on_target": on_target,
                             "alignment_error": missed}.items():
            self.close(self.file["rollout_" + name][0], np.mean(values), name)

    def test_ranks_change_no_bit(self):
        for ranks in (1, 3):
            self.expect_success(heed("probe", "run", "-o", f"{ranks}.h5", "--force", ranks=ranks))
        with open("1.h5", "rb") as one, open("3.h5", "rb") as three:
            self.assertEqual(one.read(), three.read())
        with h5py.File("3.h5", "r") as file:
            self.assertEqual(list(file["sequences"]), [12, 6, 6])

    def test_json_and_the_table_tell_the_same(self):
        with open("run.json") as file:
            found = json.load(file)
        for name in "loss", "window_loss", "ablate_zero", "copying", "in_context_late", "window":
            np.testing.assert_array_equal(np.array(found[name], float), self.file[name][()])
        out = self.expect_success(heed("probe", "run", "-n", "4")).out
        self.assertIn(f"loss        {found['loss'][0]:.4f} +- {found['loss_error'][0]:.4f} nats a token", out)
        inspected = self.expect_success(heed("inspect", "run/probe.h5")).out
        self.assertRegex(inspected, r"kind +probe")

    def test_xarray(self):
        try:
            import xarray
        except ImportError:
            raise unittest.SkipTest("no xarray")
        with xarray.open_dataset("run/probe.h5") as found:
            self.assertEqual(found.ablate_zero.dims, ("sample", "site", "head"))
            self.assertEqual(found.window_loss.dims, ("window",))
            self.assertEqual(found.rollout.dims, ("probe", "query", "key"))
            self.assertEqual(found.token_text.dims, ("probe", "query"))
            np.testing.assert_array_equal(found.span_loss.values, self.file["span_loss"])

    def test_parts(self):
        self.expect_success(heed("probe", "run", "-n", "8", "--only", "span,rollout", "-o", "some.h5", "--force"))
        with h5py.File("some.h5", "r") as file:
            for name, there in ("loss", 1), ("span_loss", 1), ("rollout_entropy", 1), ("window_loss", 0), ("entropy", 0):
                self.assertEqual(np.isfinite(file[name][:]).all(), bool(there), name)

    def test_text(self):
        fresh_run("text")
        out = self.expect_success(heed("probe", "text", "-n", "8")).out
        self.assertRegex(out, r"text/tokens.h5: 8 sequences, 1\d\d scored tokens")
        self.assertNotIn("nan", out)
        with h5py.File("text/probe.h5", "r") as file, h5py.File("text/tokens.h5", "r") as store:
            text = b"".join(file["token_text"][0].ravel()).replace(b"\0", b"").decode()
            self.assertTrue(np.isnan(file["on_target"][:]).all() and np.isfinite(file["induction"][:]).all())
            self.assertEqual(len(text), TIME)
            self.assertEqual(list(file["token"][0]), list(store["valid"][:TIME]))

    def test_refused(self):
        self.expect_fault(heed("probe", "nowhere"), 66, r"nowhere")
        self.expect_fault(heed("probe", "run/probe.h5"), 65, r"run/probe\.h5: is a probe, not a checkpoint")
        self.expect_fault(heed("probe", "run", "--only", "windw"), 64, r"no part 'windw' \(did you mean window\?\)")
        self.expect_fault(heed("probe", "run", "--only", ""), 64, r"no part ''")
        self.expect_fault(heed("probe", "run", "-n", "3"), 64, r"--sequences = 3")
        self.expect_fault(heed("probe", "run", "-o", "run/config.ini"), 73, r"run/config\.ini: exists already")
        self.expect_fault(heed("probe", "run", "-o", "no/where.h5"), 73, r"no/where\.h5")
        self.expect_fault(heed("probe", "run", "--store", "a", "--text", "b"), 64, r"exclude each other")
        checkpoint = "run/checkpoints/step-00000060.h5"
        self.expect_fault(heed("probe", checkpoint, "-o", checkpoint, "-f"), 64, r"is an input")
        os.makedirs(fresh("mlp"))
        self.expect_success(heed("train", "--quiet", *INDUCTION, "model.attention=mlp", "model.layers=1", "log.attention_every=0",
                                 "train.steps=1", f"run.dir={fresh('mlp')}"))
        self.expect_fault(heed("probe", "mlp"), 78, r"model\.attention = mlp: a model without attention")
        self.expect_success(heed("train", "--quiet", *INDUCTION, "data.task_valid=3", "train.steps=1",
                                 f"run.dir={fresh('few')}"))
        self.expect_fault(heed("probe", "few", ranks=3), 65, r"3 sequences .* too few")
        shutil.copy("run/probe.h5", "cut.h5")
        os.truncate("cut.h5", 5000)
        self.expect_fault(heed("inspect", "cut.h5"), 65, r"cut\.h5: ")


@unittest.skipIf(h5py is None, "no h5py with numpy")
class EncoderDecoder(Case):
    """reverse, which one head of cross-attention solves by places alone."""

    def test_reverse(self):
        self.expect_success(heed("train", "--quiet", *TINY, "model.kind=encoder_decoder", "model.heads=1", "model.width=48",
                                 "model.time=9", "model.bias=yes", "model.init=xavier", "train.batch=48", "train.grain=4",
                                 "data.task=reverse", "data.task_length=6", "data.task_symbols=8", "data.task_valid=24",
                                 "train.schedule=constant", "train.peak_lr=3e-3", "train.steps=150", "eval.every=0",
                                 "checkpoint.every=0", "log.attention_every=0", f"run.dir={fresh('pairs')}"))
        for ranks in (1, 3):
            self.expect_success(heed("probe", "pairs", "-o", f"pairs-{ranks}.h5", "--force", ranks=ranks))
        with open("pairs-1.h5", "rb") as one, open("pairs-3.h5", "rb") as three:
            self.assertEqual(one.read(), three.read())
        with h5py.File("pairs-1.h5", "r") as file:
            self.assertEqual(list(file["site_kind"]), [1, 0, 2])  # encoder, self, cross
            self.assertEqual(list(file["site_layer"]), [0, 0, 0])
            zero, places = file["ablate_zero"][0, :, 0], file["ablate_places"][0, :, 0]
            self.assertGreater(zero[2], 1)
            self.assertLess(abs(places[2]), zero[2] / 20)
            self.assertGreater(file["patch_values"][0, 2, 0], 1)
            self.assertTrue(np.isnan(file["alignment_error"][0, :2]).all())
            self.assertEqual(file["window_error"][-1], 0)
            aligned = min(file["alignment_error"][2, 2, 0], file["alignment_error_next"][2, 2, 0])
            self.assertLess(aligned, 0.1)
            self.assertAlmostEqual(file["alignment_error_chance"][0], 5 / 6, 12)


if __name__ == "__main__":
    main()
