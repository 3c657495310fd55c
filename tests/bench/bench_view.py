"""`qvl view` on a large stream, in headless Chromium: first paint, memory, searches, scrolling.

Seconds are those of the clock: a busy machine takes more. CPU seconds of a search are printed beside it.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import chat_records
import pytest

COUNT = int(os.environ.get("BENCH_RECORDS", "100000"))
QVL = str(Path(sys.executable).parent / "qvl")
SEARCHES = ["zebra nowhere", "the", "content", "数学"]
FILTERS = ['task == "math" and len(messages) > 2', "matches(final(), '[0-9]{3}')"]
SCROLL = """async () => {
  const list = document.querySelector(".list"), times = [];
  let waiting = 0, rows = 0, last = performance.now();
  const end = last + 4000;
  while (last < end) {
    list.scrollTop += 180;
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    times.push(now - last);
    last = now;
    waiting += document.querySelectorAll(".row.waiting").length;
    rows += document.querySelectorAll(".row").length;
  }
  times.sort((a, b) => a - b);
  return [1000 * times.length / times.reduce((a, b) => a + b), times[Math.floor(0.95 * times.length)], waiting / rows];
}"""


def memory(process: int) -> float:
    """MiB at the peak, of a process and its children."""
    children = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True)
    total = 0
    for each in [process, *map(int, children.stdout.split())]:
        for line in Path(f"/proc/{each}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                total += int(line.split()[1])
    return total / 1024


def test_a_large_stream(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    source = chat_records.write(tmp_path / "in.jsonl.zst", COUNT)
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.monotonic()
        process = subprocess.Popen([QVL, "view", source], stdout=subprocess.PIPE, text=True)
        assert process.stdout
        page.goto(process.stdout.readline().split()[-1])
        page.wait_for_selector(".record h1")
        print(f"\n{COUNT:,} records: first paint {time.monotonic() - began:.2f} s, start included")
        most = 0.0

        def until(done: str) -> float:
            nonlocal most
            start = time.monotonic()
            while not page.evaluate(done):
                assert time.monotonic() < start + 120
                most = max(most, memory(process.pid))
                time.sleep(0.02)
            return time.monotonic() - start

        status = "document.querySelector('.status').innerText"
        until(f"{status}.startsWith('{COUNT:,}') && !{status}.includes('reading')")
        print(f"all read {time.monotonic() - began:.2f} s")
        for field, texts in (("Search", SEARCHES), ("Filter", FILTERS)):
            box = page.get_by_role("searchbox", name=field)
            name = {"Search": "text", "Filter": "where"}[field]
            for text in texts:
                box.fill(text)
                done = f"location.hash.includes('{name}=') && {status}.includes('of {COUNT:,}')"
                taken = until(f"{done} && !{status}.includes('searched')")
                print(
                    f"{field.lower():<7} {text:<40} {taken:5.2f} s, {page.inner_text('.status b')}"
                )
                box.fill("")
                until(f"!location.hash.includes('{name}=')")
        rate, slow, waiting = page.evaluate(SCROLL)
        print(
            f"scrolling: {rate:.0f} frames/s, 95 % within {slow:.0f} ms, {waiting:.1%} of rows late"
        )
        heap = page.evaluate("performance.memory.usedJSHeapSize / 2 ** 20")
        print(
            f"memory at the peak: server and search {most:.0f} MiB; the page's objects {heap:.0f} MiB"
        )
        browser.close()
        process.terminate()
        process.wait()
