"""Headless Chromium, driven over WebDriver (W3C) with Python's own library: chromedriver is Debian's chromium-driver."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"]


def need(*missing):
    """Ends the test as skipped where something that it needs is not installed, and as failed in continuous integration."""
    missing = [*missing, *(program for program in ("chromedriver", "chromium") if not shutil.which(program))]
    if missing:
        print("not run, for want of", *missing)
        sys.exit(1 if "CI" in os.environ else 77)


class Browser:
    """One window on a file. `with Browser() as page: page.open("report.html")`."""

    def __init__(self, width=1300, height=1000, dark=False):
        self.profile = tempfile.mkdtemp(prefix="heed-browser-")
        self.size, self.dark = (width, height), dark
        self.session = None

    def __enter__(self):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                       env={**os.environ, "HOME": self.profile})
        for line in self.driver.stdout:
            found = re.search(r"successfully on port (\d+)", line)
            if found:
                self.url = f"http://127.0.0.1:{found.group(1)}"
                break
        else:
            raise RuntimeError("chromedriver does not start")
        options = {"args": [*ARGUMENTS, f"--user-data-dir={self.profile}/data", "--window-size=%d,%d" % self.size],
                   "binary": shutil.which("chromium")}
        found = self.call("POST", "/session", {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}}})
        self.session = f"/session/{found['sessionId']}"
        self.look(*self.size, self.dark)
        return self

    def __exit__(self, *_):
        if self.session:
            self.call("DELETE", self.session)
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.url + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def devtools(self, command, **parameters):
        return self.call("POST", f"{self.session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def look(self, width, height, dark=False):
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, path):
        """Opens the file, waits until the page says that it is ready and its heatmaps, if any, are there. Returns the seconds that took."""
        started = time.monotonic()
        self.call("POST", f"{self.session}/url", {"url": "file://" + os.path.abspath(path)})
        self.wait("return document.body.dataset.ready && (!document.getElementById('readout') || document.body.dataset.shown)")
        return time.monotonic() - started

    def run(self, script, *arguments):
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, script, *arguments, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = self.run(script, *arguments)
            if found:
                return found
            time.sleep(0.02)
        raise RuntimeError(f"waited {seconds} s for {script}; console: {self.console()}")

    def press(self, *keys):
        """Keys for whatever has the focus, by their W3C numbers: Tab, arrows, or letters."""
        codes = {"Tab": "\ue004", "Left": "\ue012", "Up": "\ue013", "Right": "\ue014", "Down": "\ue015", "Home": "\ue011", "End": "\ue010", "Enter": "\ue007"}
        actions = [{"type": what, "value": codes.get(key, key)} for key in keys for what in ("keyDown", "keyUp")]
        self.call("POST", f"{self.session}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def picture(self, path, whole=False):
        """A PNG of the window, or of the whole page."""
        if whole:
            height = self.run("return document.documentElement.scrollHeight")
            self.devtools("Emulation.setDeviceMetricsOverride", width=self.size[0], height=height, deviceScaleFactor=1, mobile=False)
            time.sleep(1)
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("GET", f"{self.session}/screenshot")))
        if whole:
            self.look(*self.size, self.dark)

    def console(self):
        """What the page said on its console since the last call."""
        return [entry["message"] for entry in self.call("POST", f"{self.session}/se/log", {"type": "browser"})]

    def requests(self):
        """Addresses that were asked for since the last call, other than files and data that the page holds."""
        entries = self.call("POST", f"{self.session}/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        urls = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [url for url in urls if not url.startswith(("file://", "data:", "blob:"))]
