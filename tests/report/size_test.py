"""The page of a run with 200 logs, 6 layers, 6 heads, 64 tokens and two probes: how large it is, and how soon it is there."""

import os
import statistics

from program import SOURCE, Case, fresh, heed, main

import browser

MOST_BYTES = 20 * 10**6
MOST_SECONDS = 2.0
RUN = ["model.layers=6", "model.heads=6", "model.width=48", "model.time=64", "train.steps=995", "train.batch=8", "train.grain=1",
       "log.attention_every=5", "log.probes=2", "checkpoint.every=0", "eval.every=100", f"data.text={SOURCE}/data/moby-dick.txt"]


class Size(Case):
    def test_size_and_time(self):
        browser.need()
        self.expect_success(heed("train", f"{SOURCE}/configs/whale.ini", *RUN, f"run.dir={fresh('deep')}", timeout=800))
        self.assertEqual(len(os.listdir("deep/attention")), 200)
        self.expect_success(heed("report", "deep", timeout=300))
        size = os.path.getsize("deep/report.html")
        ready, drawn = [], []
        with browser.Browser() as page:
            for _ in range(5):
                page.open("deep/report.html")
                ready.append(page.run("return Number(document.body.dataset.ready) / 1000"))
                drawn.append(page.run("return Number(document.body.dataset.drawn) / 1000"))  # the first maps
            self.assertEqual(page.run("return document.getElementById('step').max"), "199")
            self.assertEqual(page.console(), [])
        print(f"{size} bytes, ready after {statistics.median(ready):.2f} s, maps drawn after {statistics.median(drawn):.2f} s (medians of 5: {ready}, {drawn})")
        self.assertLess(size, MOST_BYTES)
        self.assertLess(statistics.median(ready), MOST_SECONDS)
        self.assertLess(statistics.median(drawn), MOST_SECONDS)


if __name__ == "__main__":
    main()
