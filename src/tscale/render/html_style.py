"""The style of a page and of a fragment. Every rule is for what stands inside an element of the class `tscale`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LIGHT: Final = {
    "paper": "#fdfdfb", "ink": "#1c1d1b", "dim": "#5c5f59", "line": "#dcddd6", "faint": "#f3f4ef", "link": "#0a5794",
    "bar": "#7ea6cc", "shade": "rgba(0, 0, 0, .17)", "c0": "#0072b2", "c1": "#c14f00", "c2": "#00805f", "c3": "#ad4a8c", "c4": "#2d87b8", "c5": "#946800",
    "c6": "#45474a",
}  # fmt: skip
DARK: Final = {
    "paper": "#15171a", "ink": "#e6e6e2", "dim": "#a4a8a8", "line": "#33373b", "faint": "#1e2124", "link": "#85bdf0",
    "bar": "#46749f", "shade": "rgba(255, 255, 255, .2)", "c0": "#56a5e3", "c1": "#ee8a4c", "c2": "#3fc49a", "c3": "#dd8cc2", "c4": "#8fd0f2", "c5": "#e0b94a",
    "c6": "#c9cbcd",
}  # fmt: skip
# A fragment takes the notebook's own colours, as JupyterLab and VS Code name them; text is whatever colour text has there.
_HOST: Final = {
    "paper": "var(--jp-layout-color0, var(--vscode-notebook-editorBackground, var(--vscode-editor-background, transparent)))",
    "ink": "inherit",
    "dim": "color-mix(in srgb, currentColor 72%, transparent)",
    "line": "rgba(128, 128, 128, .35)",
    "faint": "rgba(128, 128, 128, .12)",
    "link": "var(--jp-content-link-color, var(--vscode-textLink-foreground, LinkText))",
    "bar": "rgba(88, 140, 190, .75)",
}


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--ts-{name}: {colour};" for name, colour in colours.items())


_COMMON: Final = """
.tscale { color: var(--ts-ink); font-variant-numeric: tabular-nums lining-nums; }
.tscale a { color: var(--ts-link); text-decoration: underline; text-decoration-thickness: 1px; text-underline-offset: .18em; }
.tscale code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; font-size: .92em;
  color: inherit; background: none; padding: 0; overflow-wrap: anywhere; }
.tscale .ts-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.tscale .ts-scroll { position: relative; overflow-x: auto; width: max-content; max-width: 100%; margin: 0 0 1.6em; }
.tscale .ts-scroll table { border-collapse: separate; border-spacing: 0; border: 0; margin: 0; font-size: .9375em; line-height: 1.4;
  table-layout: auto; color: inherit; }
.tscale .ts-scroll thead, .tscale .ts-scroll tr { background: none; border: 0; }
.tscale .ts-scroll th, .tscale .ts-scroll td { border: 0; border-bottom: 1px solid var(--ts-line); padding: .3125rem 1.3rem .3125rem 0;
  text-align: left; vertical-align: baseline; font-weight: inherit; white-space: normal; max-width: 26em; overflow-wrap: break-word;
  background: none; }
.tscale .ts-scroll tr > :last-child { padding-right: .2em; }
.tscale .ts-scroll thead th, .tscale .ts-scroll thead td { vertical-align: bottom; color: var(--ts-dim);
  border-bottom: 1px solid currentColor; line-height: 1.2; }
.tscale .ts-scroll .ts-short { white-space: nowrap; }
.tscale .ts-scroll .ts-long { min-width: 13em; }
.tscale .ts-scroll .ts-num { text-align: right; white-space: nowrap; max-width: none; }
.tscale .ts-scroll thead .ts-num { white-space: normal; max-width: 9em; }
.tscale .ts-scroll .ts-num.ts-none:not(.ts-short) { white-space: normal; max-width: 18em; }
.tscale .ts-scroll thead .ts-num:has(.ts-head) { max-width: none; }
.tscale .ts-scroll tbody > tr:last-child > * { border-bottom: 0; }
.tscale .ts-scroll .ts-totals > tr:first-child > * { border-top: 1px solid currentColor; }
.tscale .ts-scroll .ts-totals th, .tscale .ts-scroll .ts-totals td { font-weight: 600; }
.tscale .ts-scroll .ts-none, .tscale .ts-scroll .ts-totals .ts-none { color: var(--ts-dim); font-weight: 400; }
.tscale .ts-scroll .ts-in1 { padding-left: 1.2em; }
.tscale .ts-scroll .ts-in2 { padding-left: 2.4em; }
.tscale .ts-scroll .ts-in3 { padding-left: 3.6em; }
.tscale .ts-whole { white-space: nowrap; }
.tscale .ts-mark { color: var(--ts-dim); font-weight: 400; }
.tscale thead .ts-mark { color: inherit; }
.tscale .ts-slot { display: inline-block; width: .62em; text-align: left; }
.tscale .ts-head { display: inline-flex; justify-content: flex-end; align-items: flex-end; }
.tscale .ts-head > :first-child { max-width: 9em; }
.tscale .ts-none .ts-head > :first-child { max-width: 18em; }
.tscale .ts-head > .ts-slot, .tscale .ts-head > .ts-ratio { flex: none; }
.tscale .ts-ratio { display: inline-block; margin-left: .5em; text-align: left; color: var(--ts-dim); font-weight: 400; }
.tscale .ts-scroll .ts-bar { width: 9em; min-width: 9em; }
.tscale .ts-bar span { display: block; height: .7em; min-width: 1px; background: var(--ts-bar); border-radius: 1px; }
.tscale .ts-notes ul, .tscale .ts-sources ul { margin: 0 0 1em; padding: 0 0 0 1.1em; }
.tscale .ts-notes li, .tscale .ts-sources li { margin: 0 0 .35em; overflow-wrap: break-word; }
.tscale .ts-steps dl { margin: 0 0 1.2em; }
.tscale .ts-steps dt { font-weight: 600; margin: .7em 0 0; overflow-wrap: anywhere; }
.tscale .ts-steps dd { margin: 0; padding-left: 2.6em; text-indent: -1.3em; }
.tscale .ts-steps dd::before { content: "= "; color: var(--ts-dim); }
.tscale .ts-steps dd b { font-weight: 600; }
.tscale .ts-steps .ts-source { color: var(--ts-dim); margin-left: .6em; }
.tscale .ts-steps summary { cursor: pointer; font-weight: 600; color: var(--ts-dim); }
"""

_OF_PAGE: Final = """
:root { color-scheme: light dark; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; background: var(--ts-paper); }
body { margin: 0; background: var(--ts-paper);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif; }
main.tscale { box-sizing: border-box; max-width: 63rem; margin: 0 auto; padding: 2.2rem 1.5rem 1rem; }
footer.tscale { box-sizing: border-box; max-width: 63rem; margin: 0 auto; padding: 0 1.5rem 2rem; color: var(--ts-dim);
  font-size: .85rem; }
.tscale h1 { font-size: 1.5rem; line-height: 1.25; font-weight: 650; letter-spacing: -.012em; margin: 0 0 .8rem; max-width: 46rem;
  text-wrap: balance; overflow-wrap: break-word; }
.tscale .ts-title { font-size: 1.02rem; line-height: 1.35; font-weight: 600; margin: 2rem 0 .5rem; max-width: 46rem; overflow-wrap: break-word; }
.tscale .ts-part { font-size: 1.2rem; margin-top: 2.6rem; }
.tscale .ts-lead { margin: 0 0 .35rem; max-width: 46rem; overflow-wrap: break-word; }
.tscale .ts-lead + .ts-scroll, .tscale .ts-lead + .ts-title { margin-top: 1.3rem; }
.tscale tbody th[scope=row] { position: sticky; left: 0; background: var(--ts-paper); }
.tscale tbody tr:hover > * { background: var(--ts-faint); }
.tscale .ts-notes, .tscale .ts-sources { font-size: .92rem; max-width: 46rem; }
.tscale .ts-legend { margin: 0 0 1rem; }
.tscale p.ts-legend { color: var(--ts-dim); font-size: .92rem; max-width: 46rem; }
.tscale .ts-steps { max-width: 60rem; font-size: .92rem; }
.tscale :focus-visible { outline: 2px solid var(--ts-link); outline-offset: 2px; }
/* A shade at the right edge of a table that goes on, until it is scrolled to its end. */
.tscale .ts-scroll { background: linear-gradient(to left, var(--ts-paper) 40%, transparent) calc(100% + 2px) 0 / 2.4rem 100% no-repeat local,
  linear-gradient(to left, var(--ts-shade), transparent) right / .8rem 100% no-repeat scroll; }
.tscale .ts-plot { margin: 2rem 0 2.2rem; max-width: 47.5rem; }
.tscale .ts-plot .ts-title { margin-top: 0; }
.tscale .ts-plot ul.ts-legend { list-style: none; margin: .2rem 0 .7rem; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1.4rem;
  font-size: .88rem; }
.tscale .ts-plot ul.ts-legend svg { margin-right: .5em; overflow: visible; }
.tscale .ts-plot .ts-note { margin: .4rem 0 0; font-size: .88rem; color: var(--ts-dim); }
.tscale .ts-defs { position: absolute; }
.tscale .ts-wide, .tscale .ts-narrow { width: 100%; height: auto; overflow: visible;
  font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif; }
.tscale .ts-wide { display: block; }
.tscale .ts-narrow { display: none; }
.tscale .ts-plot text { fill: var(--ts-dim); }
.tscale .ts-plot .ts-name { fill: var(--ts-ink); }
.tscale .ts-plot .ts-word { fill: var(--ts-ink); paint-order: stroke; stroke: var(--ts-paper); stroke-width: 3.5px; stroke-linejoin: round; }
.tscale .ts-plot .ts-dim { fill: var(--ts-dim); }
.tscale .ts-grid { fill: none; stroke: var(--ts-line); }
.tscale .ts-axis { fill: none; stroke: var(--ts-dim); }
.tscale .ts-rule { fill: none; stroke: var(--ts-ink); stroke-dasharray: 2 3; }
.tscale .ts-leader { fill: none; stroke: var(--ts-dim); stroke-width: .7; }
.tscale .ts-quiet { --c: var(--ts-dim); }
.tscale .ts-line { fill: none; stroke: var(--c); stroke-width: 2.2; stroke-linejoin: round; }
.tscale .ts-line.ts-quiet { stroke-width: 1; }
.tscale .ts-area { fill: var(--c); fill-opacity: .8; stroke: var(--ts-paper); stroke-width: 1; }
.tscale .ts-hatch { fill: none; stroke: var(--ts-paper); stroke-width: 1; stroke-opacity: .55; }
.tscale .ts-points path { fill: var(--c); stroke: var(--ts-paper); }
.tscale .ts-points.ts-quiet path { stroke: none; }
/* A wide table may reach beyond the column of text, to the right edge of the window. */
@media (min-width: 64rem) {
  .tscale .ts-scroll { max-width: calc(50vw + 28.5rem); }
}
@media (max-width: 40rem) {
  main.tscale { padding: 1.2rem 1rem .6rem; }
  footer.tscale { padding: 0 1rem 1.4rem; }
  .tscale h1 { font-size: 1.25rem; }
  .tscale .ts-scroll th, .tscale .ts-scroll td { padding-right: 1rem; }
  .tscale .ts-scroll table { font-size: .875em; line-height: 1.42858; }
  .tscale .ts-scroll tbody th[scope=row] { max-width: 9.5em; white-space: normal; }
  .tscale .ts-wide { display: none; }
  .tscale .ts-narrow { display: block; }
}
@media (max-width: 30rem) {
  .tscale .ts-scroll .ts-bar { display: none; }
}
"""

_ON_PAPER: Final = """
@page { margin: 16mm 15mm; }
@media print {
  main.tscale, footer.tscale { max-width: none; padding: 0; }
  .tscale .ts-steps { max-width: none; columns: 2; column-gap: 8mm; }
  .tscale .ts-steps > .ts-title { column-span: all; }
  .tscale h1 { font-size: 14pt; }
  .tscale .ts-scroll { overflow: visible; background: none; }
  .tscale .ts-scroll table { font-size: min(8.5pt, calc(178mm / var(--ts-chars) / .58)); }
  .tscale .ts-scroll th, .tscale .ts-scroll td { padding: .3em 1.2em .3em 0; }
  .tscale tbody th[scope=row] { position: static; }
  .tscale thead { display: table-header-group; }
  .tscale tr, .tscale .ts-plot, .tscale li, .tscale dd { break-inside: avoid; }
  .tscale .ts-title, .tscale dt, .tscale summary { break-after: avoid; }
  .tscale .ts-plot { max-width: 150mm; }
  .tscale .ts-wide { display: block; }
  .tscale .ts-narrow { display: none; }
  .tscale .ts-bar span, .tscale .ts-plot { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .tscale .ts-sources a::after { content: " (" attr(href) ")"; overflow-wrap: anywhere; }
}
"""

_TINTS: Final = "".join(f".tscale .ts-c{number} {{ --c: var(--ts-c{number}); }}\n" for number in range(7))

PAGE: Final = (
    f":root {{ {_variables(LIGHT)} }}\n"
    f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
    f"@media print {{ :root {{ {_variables({**LIGHT, 'paper': '#ffffff'})} color-scheme: light; font-size: 9.5pt; }} }}\n"
    + _COMMON + _OF_PAGE + _TINTS + _ON_PAPER
)  # fmt: skip
"""The style of a page."""

FRAGMENT: Final = (
    f"div.tscale {{ {_variables(_HOST)} }}\n"
    + _COMMON
    + """
.tscale .ts-headline { font-weight: 600; font-size: 1.08em; margin: 0 0 .5em; max-width: 60em; }
.tscale .ts-title { font-weight: 600; margin: 1.2em 0 .35em; max-width: 60em; }
.tscale .ts-lead { margin: 0 0 .3em; max-width: 60em; }
.tscale .ts-notes { max-width: 60em; font-size: .92em; }
.tscale .ts-legend { margin: 0 0 .6em; color: var(--ts-dim); }
"""
)
"""The style of a fragment."""
