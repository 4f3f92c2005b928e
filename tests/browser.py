"""A real browser for tests: Chromium without a window, spoken to over its debugging pipe."""

import fcntl
import json
import os
import select
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from zsgan.assets.manifest import ROOT

OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--mute-audio",
    # It asks its maker's hosts in spite of these; now it cannot.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]  # fmt: skip

# What a page shows. The width is not window.innerWidth, which on a phone grows with what does not fit.
SHOWN = """({
    width: document.documentElement.scrollWidth,
    brightness: Math.max(...getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3)),
    banner: document.querySelector('.bd-header-announcement')?.innerText,
    raw: [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length,
    drawn: document.querySelectorAll('mjx-container mjx-math').length,
    errors: document.querySelectorAll('mjx-merror').length,
    wide: [...document.querySelectorAll('div.math')].filter(e => e.scrollWidth > e.clientWidth + 1)
        .map(e => e.textContent),
    pictures: [...document.querySelectorAll('article img')]
        .map(e => [e.src, e.naturalWidth, e.width, e.alt]),
    unplaced: [...document.querySelectorAll('article img')].filter(
        e => !(Math.abs(e.getAttribute("width") / e.getAttribute("height") * e.height / e.width - 1) < 0.03)
    ).map(e => e.src.slice(0, 200)),
    undrawn: [...document.querySelectorAll('[class*="fa-"]')]
        .filter(e => e.checkVisibility() && getComputedStyle(e, '::before').content == 'none')
        .map(e => e.className),
    links: [...document.querySelectorAll('a[href]')].map(e => e.href),
    anchors: [...document.querySelectorAll('[id]')].map(e => e.id),
})"""

# Waits for pictures that a reader would see later, as one scrolls to them.
ALL_PICTURES = """Promise.all([...document.querySelectorAll('article img')]
    .map(e => { e.loading = 'eager'; return e.decode(); })).then(() => true)"""

# Waits for the math of a page that has some, also while its script is still on its way.
MATH_DRAWN = """window.MathJax && new Promise(done => {
    const wait = () => MathJax.startup?.promise
        ? MathJax.startup.promise.then(() => done(true)) : setTimeout(wait, 20);
    wait();
})"""

# Words with less contrast to what is behind them than WCAG level AA asks for: 4.5, or 3 if they are large.
PALE = """(() => {
    const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const known = new Map();
    const rgba = colour => {
        if (!known.has(colour)) {
            pen.clearRect(0, 0, 1, 1);
            pen.fillStyle = colour;
            pen.fillRect(0, 0, 1, 1);
            known.set(colour, [...pen.getImageData(0, 0, 1, 1).data]);
        }
        return known.get(colour);
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((c, k) => (c * a + below[k] * (255 - a)) / 255);
    const behind = e =>
        e ? over(rgba(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : [255, 255, 255];
    const light = colour => colour.map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
    const pale = [];
    for (const e of document.body.querySelectorAll('*')) {
        const words = [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join(' ').trim();
        const seen = e.checkVisibility({opacityProperty: true, visibilityProperty: true});
        if (!words || !seen || e.clientWidth === 1) continue;
        const look = getComputedStyle(e), ground = behind(e), size = parseFloat(look.fontSize);
        const [a, b] = [light(over(rgba(look.color), ground)), light(ground)].sort((x, y) => y - x);
        const large = size >= 24 || (size >= 18.66 && look.fontWeight >= 700);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < (large ? 3 : 4.5)) pale.push(`${words.slice(0, 60)}: ${ratio.toFixed(2)}`);
    }
    return pale;
})()"""


class Browser:
    """One tab. What pages load, and what goes wrong in them, gathers in lists until the next :meth:`visit`.

    Attributes:
        requests: addresses that the page asked for.
        faults: failed requests, uncaught exceptions and error messages.
    """

    def __init__(self, profile: Path) -> None:
        self.requests: list[str] = []
        self.faults: list[str] = []
        self._loaded: set[str] = set()
        program = subprocess.run([ROOT / ".ci" / "browser"], stdout=subprocess.PIPE, text=True, check=True)
        theirs, ours = os.pipe()
        self._answers, theirs_out = os.pipe()
        self._orders = ours

        def pipes() -> None:  # the debugging pipe is file descriptors 3 and 4
            high = [fcntl.fcntl(pipe, fcntl.F_DUPFD, 10) for pipe in (theirs, theirs_out)]
            for number, pipe in enumerate(high, start=3):
                os.dup2(pipe, number)

        self._process = subprocess.Popen(
            [program.stdout.strip(), *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-pipe"],
            preexec_fn=pipes,  # noqa: PLW1509 (nothing else runs here yet)
            close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one order of the DevTools protocol."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            order["sessionId"] = self._session
        os.write(self._orders, json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return message["result"]

    def visit(self, url: str, *, width: int = 1250, dark: bool = False, scripts: bool = True) -> None:
        """Open a page in a window of a width in pixels, and wait until it is loaded and its math drawn.

        Without ``scripts``, the page is that of a reader who has JavaScript switched off.
        """
        self.call("Emulation.setScriptExecutionDisabled", value=False)
        self.show(width=width, dark=dark)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.requests, self.faults = [], []
        loader = self.call("Page.navigate", url=url)["loaderId"]
        while loader not in self._loaded:
            self._next()
        self.run(MATH_DRAWN)

    def show(self, *, width: int, dark: bool) -> None:
        """Give the window another width and colour scheme, and wait until its page is drawn so."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}  # no colour is measured on its way
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])
        # The first frame may have begun before.
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise's once it is kept."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, timeout=20_000
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def controls(self) -> list[tuple[str, str]]:
        """Role and name of everything that can be operated, as a screen reader is told."""
        kinds = {"button", "link", "combobox", "slider", "searchbox", "checkbox", "DisclosureTriangle"}
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        shown = [node for node in nodes if not node["ignored"] and node["role"]["value"] in kinds]
        return [(node["role"]["value"], node["name"]["value"].strip()) for node in shown]

    def press(self, key: str) -> None:
        """Press and release a key, such as "ArrowLeft", in what has the focus."""
        code = {"End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def drag(self, start: tuple[float, float], end: tuple[float, float], *, touch: bool = False) -> None:
        """Drag from one place of the window to another, with the mouse or a finger."""
        middle = tuple((a + b) / 2 for a, b in zip(start, end, strict=True))
        if touch:
            for kind, places in (("Start", [start]), ("Move", [middle]), ("Move", [end]), ("End", [])):
                points = [{"x": x, "y": y} for x, y in places]
                self.call("Input.dispatchTouchEvent", type=f"touch{kind}", touchPoints=points)
            return
        held = {"button": "left", "buttons": 1, "clickCount": 1}
        for kind, (x, y) in (("Pressed", start), ("Moved", middle), ("Moved", end), ("Released", end)):
            self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **held)

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._orders)
        os.close(self._answers)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._answers], [], [], 60)[0], "Chromium has said nothing for a minute"
            more = os.read(self._answers, 1 << 20)
            assert more, f"Chromium ended with code {self._process.wait()}"
            self._buffer += more
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, what: dict[str, Any]) -> None:
        match event:
            case "Page.lifecycleEvent" if what["name"] == "load":
                self._loaded.add(what["loaderId"])
            case "Network.requestWillBeSent":
                self.requests.append(what["request"]["url"])
            case "Network.loadingFailed":
                self.faults.append(f"failed: {what['errorText']}")
            case "Network.responseReceived" if what["response"]["status"] >= 400:
                self.faults.append(f"{what['response']['status']}: {what['response']['url']}")
            case "Runtime.exceptionThrown":
                self.faults.append(json.dumps(what["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if what["type"] == "error":
                self.faults.append(json.dumps(what["args"]))
            case "Log.entryAdded" if what["entry"]["level"] == "error":
                self.faults.append(what["entry"]["text"])


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder is served while the block runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
