"""`qvl view` on a large stream, in headless Chromium: first paint, memory, searches, scrolling.

Seconds are those of the clock: a busy machine takes more. CPU seconds of a search are printed beside it.
"""

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import chat_records
import pytest
import viewing

COUNT = int(os.environ.get("BENCH_RECORDS", "100000"))
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
        with contextlib.suppress(OSError):  # a search may have ended
            for line in Path(f"/proc/{each}/status").read_text().splitlines():
                if line.startswith("VmHWM"):
                    total += int(line.split()[1])
    return total / 1024


def processor(process: int) -> float:
    """CPU seconds so far, of a process and its children that have ended."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def test_a_large_stream(tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("chromium is not installed")
    source = chat_records.write(tmp_path / "in.jsonl.zst", COUNT)
    with playwright.sync_playwright() as running, contextlib.ExitStack() as stack:
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        began = time.monotonic()
        process = stack.enter_context(viewing.Viewing(source))
        page.goto(process.url)
        page.wait_for_selector(".record h1")
        server = process.process.pid
        taken = f"{time.monotonic() - began:.2f} s, of the server's CPU {processor(server):.2f} s"
        print(f"\n{os.getloadavg()[0]:.0f} programs running on {os.cpu_count()} cores")
        print(f"{COUNT:,} records: first paint {taken}, start included")
        most = 0.0

        def until(done: str) -> float:
            nonlocal most
            start = time.monotonic()
            while not page.evaluate(done):
                assert time.monotonic() < start + 120
                most = max(most, memory(server))
                time.sleep(0.02)
            return time.monotonic() - start

        status = "document.querySelector('.status').innerText"
        until(f"{status}.startsWith('{COUNT:,}') && !{status}.includes('reading')")
        taken = f"{time.monotonic() - began:.2f} s, CPU {processor(server):.2f} s"
        print(f"all read {taken}")
        for field, texts in (("Search", SEARCHES), ("Filter", FILTERS)):
            box = page.get_by_role("searchbox", name=field)
            name = {"Search": "text", "Filter": "where"}[field]
            for text in texts:
                before = processor(server)
                box.fill(text)
                done = f"location.hash.includes('{name}=') && {status}.includes('of {COUNT:,}')"
                taken = until(f"{done} && !{status}.includes('searched')")
                time.sleep(0.3)  # the process of the search ends
                cpu = processor(server) - before
                found = page.inner_text(".status b")
                print(f"{field} {text:<40} {taken:5.2f} s, CPU {cpu:.2f} s, {found} found")
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
