#!/usr/bin/env python3
"""Takes the picture of a report that the README shows, in headless Chromium.

    heed train configs/tasks/induction.ini && heed report runs/induction
    python3 docs/images/report.py runs/induction/report.html docs/images/report.png --step 120

Needs chromium and chromium-driver.
"""
import argparse
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tests/report"))
import browser  # noqa: E402  (the tests' own way of driving it)

arguments = argparse.ArgumentParser()
arguments.add_argument("page")
arguments.add_argument("picture")
arguments.add_argument("--step", type=int, default=0, help="the step to show")
given = arguments.parse_args()

with browser.Browser(1180, 860) as page:
    page.open(given.page)
    page.run("document.getElementById('step').focus()")
    page.press("Home")
    for _ in range(int(page.run("return document.getElementById('step').max"))):
        if page.run("return Number(document.body.dataset.shown.split(' ')[5])") >= given.step:
            break
        page.press("Right")
        time.sleep(0.2)
    page.run("document.activeElement.blur(); document.getElementById('heatmaps').scrollIntoView({behavior: 'instant'})")
    time.sleep(1)
    page.picture(given.picture)
