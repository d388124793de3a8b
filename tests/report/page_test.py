"""heed report's page in headless Chromium: what it shows is what the files hold, whatever the files hold."""

import glob
import json
import os
import re
import unittest

from program import TINY, Case, fresh, heed, main

import browser

try:
    import h5py
    import numpy
except ImportError:
    h5py = None

# Words that would break out of a script element, a string, a tag or an attribute, were they not escaped.
HOSTILE = ["</script><script>document.title='broken'</script>", "<!--<script>", "'\"><img/src=x/onerror=document.title='broken'>", "{{json}}",
           "\u2028&lt;", "<b>bold</b>", "\\u003c/script>"]
TEXT = [*TINY, "model.layers=2", "data.text=text.txt", "data.tokenizer=word", "data.valid_share=0.5", "train.steps=30", "eval.every=10", "checkpoint.every=0",
        "log.attention_every=2", "log.probes=3"]
INDUCTION = [*TINY, "data.task=induction", "data.task_length=16", "data.task_symbols=8", "data.task_valid=36", "train.steps=40", "eval.every=10",
             "checkpoint.every=0", "log.attention_every=2", "log.probes=4", "train.schedule=constant"]
PAIRS = [*TINY, "model.kind=encoder_decoder", "model.layers=2", "model.encoder_layers=1", "data.pairs=pairs.tsv", "data.valid_share=0.5", "train.steps=30",
         "eval.every=10", "checkpoint.every=0", "log.attention_every=10", "log.probes=3"]
REVERSE = [*TINY, "model.kind=encoder_decoder", "data.task=reverse", "data.task_length=10", "data.task_valid=36", "train.steps=30", "eval.every=10",
           "checkpoint.every=0", "log.attention_every=10", "log.probes=3"]

CELL = """return Object.fromEntries([...document.querySelectorAll('#readout [data-map]')].map(
  cell => [cell.dataset.run + ' ' + cell.dataset.map, Number(cell.dataset.value)]))"""
SHOWN = "return document.body.dataset.shown"


FOLDERS = {"self": "attention", "encoder": "attention-encoder", "cross": "attention-cross"}


def maps(run, step, name, kind="self"):
    with h5py.File(f"{run}/{FOLDERS[kind]}/step-{step:08}.h5") as file:
        return file[name][0].astype(float)


def make_pairs(path):
    """Sources and targets of different lengths, none a mirror of the other."""
    letters = "abcdefghijkl"
    with open(path, "w", encoding="utf-8") as file:
        for i in range(120):
            source = "".join(letters[(i * 7 + k * k) % 12] for k in range(3 + i % 11))
            file.write(f"{source}{i}\t{source[:2].upper()}é{source[::-1][:1 + i % 4]}\n")


class Page(Case):
    @classmethod
    def setUpClass(cls):
        browser.need(*[] if h5py else ["h5py"])
        with open("text.txt", "w", encoding="utf-8") as file:
            file.write(" ".join((HOSTILE + ["a", "rose", "is"]) * 60))
        make_pairs("pairs.tsv")
        for run, settings in ("text", TEXT), ("induction", INDUCTION), ("pairs", PAIRS), ("reverse", REVERSE):
            result = heed("train", *settings, f"run.dir={fresh(run)}")
            assert result.status == 0, result.err
        cls.page = browser.Browser().__enter__()
        cls.addClassCleanup(cls.page.__exit__)

    def setUp(self):
        self.page.look(1300, 1000)
        self.page.console(), self.page.requests()  # those of the window's first, empty page

    def open(self, *arguments, output="page.html"):
        self.expect_success(heed("report", *arguments, "-o", output))
        self.page.open(output)

    def choose(self, label, value):
        self.page.run("""const list = document.getElementById('choose-' + arguments[0]);
            list.value = arguments[1]; list.dispatchEvent(new Event('change', {bubbles: true}))""", label, str(value))

    def wait_shown(self, probe, layer, head, step, kind="self"):
        self.page.wait("return document.body.dataset.shown === arguments[0]", f"0 -1 {kind} {probe} {layer} {head} {step}")

    def expect_quiet(self):
        self.assertEqual(self.page.console(), [])
        self.assertEqual(self.page.requests(), [])

    def expect_cell(self, run, probe, layer, head, step, query, key, kind="self"):
        """The numbers at a cell are those of the file, within what the page says of its precision."""
        self.wait_shown(probe, layer, head, step, kind)
        shown = self.page.run(CELL)
        for name in "attention", "credit":
            where = maps(run, step, name, kind)[probe, layer, head]
            value, expected = shown[f"0 {name}"], where[query, key]
            room = (2 * expected ** 0.5 + 0.5 / 255) * 0.5 / 255 if name == "attention" else abs(where).max() * 0.5 / 127
            self.assertLessEqual(abs(value - expected), room * 1.001 + 1e-12, (name, probe, layer, head, step, query, key))

    def cell(self):
        text = self.page.run("return document.getElementById('readout').innerText")
        return tuple(int(n) for n in re.search(r"^Query .* at (\d+) and key .* at (\d+);", text, re.S).groups())

    def test_numbers_are_those_of_the_files(self):
        self.open("text")
        for probe, layer, head in (0, 0, 1), (2, 1, 0):
            self.choose("probe", probe)
            self.choose("layer", layer)
            self.choose("head", head)
            for place, step in (15, 30), (7, 14):
                self.slide(place)
                self.wait_shown(probe, layer, head, step)
                for query, key in (15, 12), (9, 4):
                    self.go_to(query, key)
                    self.expect_cell("text", probe, layer, head, step, query, key)
        self.expect_quiet()

    def slide(self, place):
        self.page.run("""const slider = document.getElementById('step'); slider.value = arguments[0];
                         slider.dispatchEvent(new Event('input'))""", place)

    def go_to(self, query, key):
        """By the arrow keys."""
        self.page.run("document.querySelector('.map .chart').focus()")
        now = self.cell()
        self.page.press(*["Down" if query > now[0] else "Up"] * abs(query - now[0]))
        now = self.cell()
        self.assertEqual(now[0], query)
        self.page.press(*["Right" if key > now[1] else "Left"] * abs(key - now[1]))
        self.assertEqual(self.cell(), (query, key))

    def test_kinds_of_attention(self):
        """Of an encoder-decoder all three can be chosen; their maps have the size of their probe, and the keys of the source."""
        self.open("pairs")
        options = self.page.run("return [...document.querySelectorAll('#choose-attention option')].map(o => o.value)")
        self.assertEqual(options, ["self", "encoder", "cross"])
        self.assertEqual(self.page.run(SHOWN).split()[2], "cross")
        for kind, probe, layer, head, place, step in (("cross", 1, 1, 0, 1, 10), ("encoder", 2, 0, 1, 3, 30), ("self", 1, 1, 1, 2, 20)):
            with h5py.File(f"pairs/{FOLDERS[kind]}/step-{step:08}.h5") as file:
                n = int(file["probe_length"][probe])
                m = int(file["key_length"][probe]) if kind == "cross" else n
                names = file["key_text" if kind == "cross" else "token_text"][probe]
            self.choose("attention", kind)
            for label, value in ("probe", probe), ("layer", layer), ("head", head):
                self.choose(label, value)
            self.slide(place)
            self.wait_shown(probe, layer, head, step, kind)
            far = n - 1 if kind == "self" else m - 1  # what a query cannot see cannot be chosen
            for query, key in (n - 1, far), (n // 2, min(1, far)), (0, 0 if kind == "self" else m - 1):
                self.go_to(query, key)
                self.expect_cell("pairs", probe, layer, head, step, query, key, kind)
                token = names[key].tobytes().rstrip(b"\0").decode()
                self.assertEqual(self.page.run("return document.querySelectorAll('#readout b')[1].textContent"), token)
            self.page.press("Right")
            self.assertEqual(self.cell(), (0, 0 if kind == "self" else m - 1))
        self.expect_quiet()

    def test_truth_among_sources(self):
        self.open("reverse")
        query, key = self.cell()
        self.assertEqual((self.page.run(SHOWN).split()[2], query + key), ("cross", 9))  # row i copies place 9 - i
        self.assertIn("cross-attention head 0.", self.page.run("return document.getElementById('paragraph').innerText"))
        self.expect_quiet()

    def test_keyboard_alone(self):
        self.open("induction")
        self.page.run("document.getElementById('step').focus()")
        self.page.press("Home")
        self.wait_shown(0, 0, *self.head(), 0)
        self.page.press("Right", "Right")
        self.wait_shown(0, 0, *self.head(), 4)
        reached = set()
        self.page.run("document.activeElement.blur(); scrollTo(0, 0)")
        for _ in range(34):
            self.page.press("Tab")
            reached.add(self.page.run("const e = document.activeElement; return e.id || e.className || e.tagName"))
            outlined = self.page.run("return document.activeElement === document.body || getComputedStyle(document.activeElement).outlineStyle !== 'none'")
            self.assertTrue(outlined, reached)
        self.assertLessEqual({"choose-probe", "choose-layer", "choose-head", "step", "chart"}, reached)
        self.expect_quiet()

    def head(self):
        return [int(self.page.run(SHOWN).split()[5])]

    def test_hostile_text_stays_text(self):
        name = "<b>&'\"name</title>".replace("/", "")
        if not os.path.islink(name):
            os.symlink("text", name)
        self.open(name)
        self.assertIn(name, self.page.run("return document.title"))
        self.assertIn(name, self.page.run("return document.querySelector('h1').textContent"))
        self.assertEqual(self.page.run("return document.querySelectorAll('img, b:not(.readout b)').length"), 0)
        with open("page.html", encoding="utf-8") as file:
            page = file.read()
        self.assertNotIn("onerror=document.title='broken'></", page.split('id="data"')[0])
        data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S).group(1))
        with h5py.File(glob.glob("text/attention/*.h5")[0]) as file:
            for shown, logged in zip(data["runs"][0]["logs"]["self"]["probes"], file["token_text"]):
                self.assertEqual(shown["text"], [word.tobytes().rstrip(b"\0").decode() for word in logged])
        self.assertTrue(any("</script>" in word for word in shown["text"]))
        self.expect_quiet()

    def test_the_answer_holds_what_was_measured(self):
        self.open("induction")
        text = self.page.run("return document.getElementById('paragraph').innerText")
        with open("induction/metrics.jsonl") as file:
            lines = [json.loads(line) for line in file]
        self.assertIn(f"validation loss of {lines[-1]['valid_loss']:.4g}", text.replace("−", "-"))
        self.assertIn("no controls were given", text)
        credit = json.loads(self.expect_success(heed("credit", "--json", "induction")).out)[0]
        if credit["onset_credit"] is not None:
            self.assertIn(f"from step {credit['onset_credit']:.0f} on", text)
        else:
            self.assertIn("Neither credit nor attention", text)
        self.assertNotRegex(text, r"NaN|undefined|null|\[object")
        everything = self.page.run("return document.body.innerText")
        self.assertNotRegex(everything, r"NaN|undefined|\[object")
        self.expect_quiet()

    def test_without_logs(self):
        self.expect_success(heed("train", *TEXT, "log.attention_every=0", f"run.dir={fresh('blind')}"))
        self.open("blind")
        self.assertIn("log.attention_every=100", self.page.run("return document.getElementById('heatmaps').innerText"))
        self.expect_quiet()

    def test_runs_beside_each_other(self):
        self.open("text", "induction")
        self.page.wait("return document.querySelectorAll('.map').length === 4")
        shown = self.page.run(CELL)
        self.assertEqual(sorted(shown), ["0 attention", "0 credit", "1 attention", "1 credit"])
        self.assertEqual(len(self.page.run("return [...document.querySelectorAll('#loss tbody tr')].map(row => row.innerText)")), 2)
        self.expect_quiet()

    def test_dark_narrow_and_equal_bytes(self):
        self.open("text")
        self.page.look(380, 700, dark=True)
        self.page.wait("return document.documentElement.scrollWidth <= innerWidth + 1")
        self.assertEqual(self.page.run("return getComputedStyle(document.body).backgroundColor"), "rgb(16, 19, 23)")
        self.expect_quiet()
        with open("page.html", "rb") as file:
            before = file.read()
        self.expect_success(heed("report", "text", "-o", "page.html"))
        with open("page.html", "rb") as file:
            self.assertEqual(file.read(), before)

    def test_controls(self):
        """The table, the verdict and the runs of the first seed; credit of all seeds."""
        self.expect_success(heed("controls", *INDUCTION, "controls.runs=2", "controls.variants=softmax uniform position none", f"run.dir={fresh('why')}"))
        self.open("why")
        with h5py.File("why/controls.h5") as file:
            verdict, loss = file.attrs["verdict"].decode(), file["loss"][:] - file["optimum"][:]
            recovered = [file[f"recovered/{key}"][1] for key in ("mean", "low", "high")]
        text = self.page.run("return document.getElementById('controls').innerText").replace("−", "-")
        self.assertIn(verdict, text)
        self.assertEqual(self.page.run("return document.querySelector('.verdict').textContent"), verdict)
        self.assertIn("{:.3f} [{:.3f}, {:.3f}]".format(*recovered), text)
        rows = self.page.run("return [...document.querySelectorAll('#controls table')[0].rows].map(row => [...row.cells].map(cell => cell.textContent))")
        self.assertEqual([row[0] for row in rows[1:]], "softmax uniform position none".split())
        for row, expected in zip(rows[1:], loss.mean(1)):
            self.assertAlmostEqual(float(row[3]), expected, delta=0.006 * expected)
        runs = self.page.run("return [...document.querySelectorAll('#choose-run option')].map(o => o.textContent)")
        self.assertEqual(runs, ["softmax-1", "uniform-1", "position-1", "none-1"])
        self.assertIn("of 2 runs", self.page.run("return document.getElementById('paragraph').innerText"))
        self.expect_quiet()

    def test_misuse(self):
        self.expect_fault(heed("report"), 64, r"report: RUN_DIR\|CONTROLS_DIR... is missing")
        self.expect_fault(heed("report", "nowhere"), 66, r"nowhere: no run lies there.*heed train")
        self.expect_fault(heed("report", "text", "-o", "no/such/folder.html"), 73, r"no/such/folder.html: cannot be created")
        self.assertEqual(glob.glob("*.tmp") + glob.glob("text/*.tmp"), [])
        last = sorted(glob.glob("text/attention/*.h5"))[-1]
        with open(last, "rb") as file:
            whole = file.read()
        with open(last, "wb") as file:
            file.write(whole[:1000] + b"X" + whole[1001:])
        self.expect_fault(heed("report", "text", "-o", "damaged.html"), 65, re.escape(last))
        self.assertFalse(os.path.exists("damaged.html"))
        with open(last, "wb") as file:
            file.write(whole)


if __name__ == "__main__":
    main()
