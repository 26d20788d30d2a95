"""Pages as a browser lays them out: on a phone, on a desk, on paper, in light and in dark. Skipped where there is no Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import run
from tests.render.html_tree import parse
from tscale.render.html_style import DARK, LIGHT

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

COMMANDS = [
    ["params", "t5-small", "gemma-2-9b", "--explain"],
    ["attention", "gpt3", "--versus"],
    ["compare", "transformer", "gpt1", "gpt2", "gpt2-xl", "gpt3", "palm-540b", "llama-3.1-405b", "gpt-4"],
    ["memory", "llama-3.1-70b", "--gpu", "h100", "--gpus", "2", "--batch", "16", "--context", "8k"],
    ["train", "gpt3", "--gpu", "a100", "--gpus", "64", "--batch", "64", "--tensor", "8"],
    ["serve", "llama-3.1-8b", "--gpu", "h100"],
    ["optimal", "--flops", "1e24"],
    ["plan", "llama-3-8b", "--train", "--gpu", "h100", "--gpus", "64", "--batch", "512"],
    ["plan", "llama-3-8b", "--serve", "--gpu", "h100", "--rate", "4", "--ttft", "2s", "--tpot", "30ms"],
    ["hyper", "llama-3-8b", "--tokens", "15T"],
    ["check", "article"],
    ["list", "hardware"],
]
LONG = "x" * 300
PAPER = 680  # pixels between the margins of a page of A4
MEASURE = """
const look = (frame) => {
  const win = frame.contentWindow, doc = frame.contentDocument, root = doc.documentElement;
  const wide = (element) => element.getBoundingClientRect().right > win.innerWidth + 0.5;
  const seen = (element) => element.getClientRects().length > 0;
  const textOf = (element) => {
    const range = doc.createRange();
    range.selectNodeContents(element);
    return range.getBoundingClientRect();
  };
  const outside = [...doc.querySelectorAll("body *")].filter(
    (each) => seen(each) && wide(each) && !each.closest(".ts-scroll, .ts-hidden, svg"));
  const boxes = [...doc.querySelectorAll("svg[role=img]")].filter(seen).map((svg) =>
    [...svg.querySelectorAll("text:not(.ts-word)")].map((text) => text.getBoundingClientRect()));
  const met = boxes.flatMap((texts) => texts.flatMap((a, at) => texts.slice(at + 1).filter(
    (b) => a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)));
  return {
    overflow: root.scrollWidth - win.innerWidth,
    outside: outside.map((each) => each.tagName + "." + each.className),
    numbersMet: met.length,
    overrun: [...doc.querySelectorAll("th[scope=row]")].filter((each) => seen(each) && textOf(each).right >
      each.getBoundingClientRect().right - parseFloat(win.getComputedStyle(each).paddingRight) + 1).map((each) => each.textContent),
    wideTables: [...doc.querySelectorAll("table")].filter(wide).length,
    scrolled: [...doc.querySelectorAll(".ts-scroll")].filter((each) => each.scrollWidth > each.clientWidth + 1).length,
    pictures: boxes.length,
    requests: win.performance.getEntriesByType("resource").length,
    ground: win.getComputedStyle(doc.body).backgroundColor,
    digits: win.getComputedStyle(doc.querySelector("main")).fontVariantNumeric,
  };
};
addEventListener("load", () => {
  document.getElementById("seen").textContent = JSON.stringify([...document.querySelectorAll("iframe")].map(look));
});
"""


@pytest.fixture(scope="module")
def pages() -> list[str]:
    made = [run(*command, "--format", "html").out for command in COMMANDS]
    made.append(run("params", "gpt2", "--set", f"title={LONG}", "--format", "html").out)
    return made


def looked_at(pages: list[str], folder: Path, width: int, scheme: str = "light") -> list[dict[str, Any]]:
    """What a browser says of each page in a window of so many pixels."""
    script = json.dumps(pages).replace("<", "\\u003c")
    file = folder / "all.html"
    file.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body><pre id="seen"></pre><script>for (const page of {script}) {{'
        f'const frame = document.createElement("iframe"); frame.style = "width: {width}px; height: 800px; border: 0; color-scheme: {scheme}";'
        f"frame.srcdoc = page; document.body.append(frame); }} {MEASURE}</script>",
        encoding="utf-8",
    )
    done = subprocess.run(
        [
            str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}",
            "--window-size=1400,900", "--dump-dom", file.as_uri(),
        ],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    seen: list[dict[str, Any]] = json.loads(parse(found[1]).text)
    assert len(seen) == len(pages)
    return seen


def colour(name: str) -> str:
    red, green, blue = (int(name[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgb({red}, {green}, {blue})"


@pytest.mark.parametrize("width, scheme", [(360, "light"), pytest.param(1280, "dark", marks=pytest.mark.slow)])
def test_a_page_never_scrolls_sideways(pages: list[str], tmp_path: Path, width: int, scheme: str) -> None:
    seen = looked_at(pages, tmp_path, width, scheme)
    for page in seen:
        assert page["overflow"] <= 0 and page["outside"] == []
        assert page["requests"] == 0
        assert page["numbersMet"] == 0
        assert page["overrun"] == []
        assert page["ground"] == colour((LIGHT if scheme == "light" else DARK)["paper"])
        assert "tabular-nums" in page["digits"]
    assert [page["pictures"] for page in seen] == [1, 2, 1, 1, 1, 1, 2, 1, 1, 1, 0, 0, 1]
    if width == 360:  # what is wider than a phone scrolls inside its own container
        assert all(
            page["scrolled"] >= 1
            for page, command in zip(seen, COMMANDS, strict=False)
            if command[0] in ("compare", "list")
        )


@pytest.mark.slow
def test_on_paper_every_table_is_whole(pages: list[str], tmp_path: Path) -> None:
    printed = [page.replace("@media print", "@media screen") for page in pages]
    for page in looked_at(printed, tmp_path, PAPER, "dark"):
        assert page["overflow"] <= 0 and page["wideTables"] == 0 and page["outside"] == []
        assert page["ground"] == "rgb(255, 255, 255)"
