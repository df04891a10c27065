"""The look of every report: one template and one style sheet, for screen, phone and paper."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --card: #ffffff; --ink: #1d2126; --soft: #5c6570; --faint: #e5e2dc;
  --hair: #d4d0c8; --accent: #0d6e6e; --accent-soft: #0d6e6e26; --other: #a3abb5;
  --second: #b4581a; --third: #5a55b8; --pass: #1a7346; --warn: #94600a; --fail: #b3261e;
  --mark: #ffe59a;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --card: #1b1f24; --ink: #e7e5e0; --soft: #9ba4ae; --faint: #2a2f36;
    --hair: #3a414a; --accent: #4fc3bb; --accent-soft: #4fc3bb2e; --other: #66707c;
    --second: #f0a06a; --third: #a6a1f2; --pass: #5fca92; --warn: #e5b454; --fail: #ff8a80;
    --mark: #6b5410;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
}
main { max-width: 60rem; margin: 0 auto; padding: 2.25rem 1.5rem 4rem; }
.brand { display: flex; align-items: center; gap: .55rem; margin: 0 0 1.5rem;
  color: var(--soft); font-size: .875rem; }
.brand svg { width: 1.35rem; height: 1.35rem; color: var(--accent); }
.brand b { color: var(--ink); font-weight: 650; letter-spacing: .01em; }
h1 { margin: 0 0 .9rem; font-size: 1.85rem; line-height: 1.2; font-weight: 680;
  letter-spacing: -.015em; text-wrap: balance; }
h2 { margin: 2.5rem 0 .35rem; padding-top: 1rem; border-top: 1px solid var(--hair);
  font-size: 1.22rem; line-height: 1.3; font-weight: 650; letter-spacing: -.005em; }
h3 { margin: 1.6rem 0 .4rem; font-size: 1rem; font-weight: 650; }
p { margin: .5rem 0; max-width: 46rem; text-wrap: pretty; }
a { color: var(--accent); }
.note, figcaption, caption { color: var(--soft); font-size: .875rem; line-height: 1.5; }
.note { margin-top: 0; }
.lead { display: flex; gap: .8rem; align-items: baseline; margin: 0; padding: .85rem 1.1rem;
  border-left: 4px solid var(--accent); background: var(--card); border-radius: 0 8px 8px 0;
  max-width: none; font-size: 1.08rem; line-height: 1.5; box-shadow: 0 0 0 1px var(--faint); }
.lead.pass { border-color: var(--pass); } .lead.warn { border-color: var(--warn); }
.lead.fail { border-color: var(--fail); }
.badge { display: inline-block; padding: .06rem .5rem; border-radius: 99px; font-size: .78rem;
  line-height: 1.5; font-weight: 620; white-space: nowrap; color: var(--soft);
  border: 1px solid currentColor; }
.badge.pass { color: var(--pass); } .badge.warn { color: var(--warn); }
.badge.fail { color: var(--fail); } .badge.info { color: var(--accent); }
.facts { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; margin: 1.1rem 0 0; padding: 0;
  font-size: .85rem; color: var(--soft); }
.facts div { display: flex; gap: .4rem; min-width: 0; } .facts dt { margin: 0; }
.facts dd { margin: 0; color: var(--ink); overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(var(--least), 1fr));
  gap: .75rem; margin: 1.1rem 0; }
.tile { padding: .8rem 1rem .85rem; background: var(--card); border: 1px solid var(--faint);
  border-radius: 10px; }
.tile .label { color: var(--soft); font-size: .84rem; line-height: 1.35; }
.tile .value { margin: .2rem 0 .1rem; font-size: 1.65rem; line-height: 1.2; font-weight: 640;
  font-variant-numeric: tabular-nums; letter-spacing: -.02em; }
.tile .value small { font-size: .85rem; font-weight: 450; letter-spacing: 0; color: var(--soft); }
.tile .detail { color: var(--soft); font-size: .8rem; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
.tile.pass .value { color: var(--pass); } .tile.warn .value { color: var(--warn); }
.tile.fail .value { color: var(--fail); }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.45; }
caption { text-align: left; padding-bottom: .4rem; caption-side: top; }
th, td { padding: .45rem .8rem .45rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--faint); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--soft); font-weight: 550; font-size: .82rem; vertical-align: bottom;
  border-bottom-color: var(--hair); }
td code { overflow-wrap: break-word; }
td.number, th.number { text-align: right; padding-right: 1.5rem;
  font-variant-numeric: tabular-nums; }
td.number, .nowrap { white-space: nowrap; }
figure { margin: 1.1rem 0; }
figcaption { margin-top: .5rem; max-width: 46rem; }
figure > .title { font-weight: 600; font-size: .9rem; margin: 0 0 .4rem; }
.bars { position: relative; display: grid; grid-template-columns: minmax(7rem, 14rem) 1fr auto;
  column-gap: .9rem; row-gap: .5rem; align-items: center; font-size: .9rem;
  grid-auto-flow: row dense; }
.bars .name { grid-column: 1; } .bars .track { grid-column: 2; } .bars .amount { grid-column: 3; }
.bars .name { line-height: 1.3; overflow-wrap: anywhere; }
.bars .name small { display: block; color: var(--soft); font-size: .8rem; }
.bars .track { position: relative; height: 1.35rem; border-left: 1px solid var(--hair); }
.bars .bar { position: absolute; top: .18rem; bottom: .18rem; border-radius: 0 3px 3px 0;
  background: var(--other); }
.bars .main .bar { background: var(--accent); }
.bars .whisker { position: absolute; top: 50%; height: .6rem; margin-top: -.3rem;
  border: solid var(--ink); border-width: 0 1.5px; opacity: .85; }
.bars .whisker::before { content: ""; position: absolute; left: 0; right: 0; top: 50%;
  border-top: 1.5px solid var(--ink); margin-top: -.75px; }
.bars .rule { position: absolute; top: -.3rem; bottom: -.3rem;
  border-left: 1.5px dashed var(--second); }
.bars .amount { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bars .main { font-weight: 640; } .bars .main small { font-weight: 400; }
.bars .row { display: contents; }
.bars .amount small { display: block; color: var(--soft); font-weight: 400; font-size: .78rem; }
.legend { display: flex; flex-wrap: wrap; gap: .15rem 1.1rem; margin: 0 0 .5rem;
  color: var(--soft); font-size: .84rem; }
.legend i { display: inline-block; width: 1.25rem; margin-right: .4rem; vertical-align: .25em;
  border-top: 2.5px solid var(--tone); } .legend i.dashed { border-top-style: dashed; }
.legend i.block { border: 0; height: .7rem; width: .9rem; vertical-align: -.05em;
  background: var(--tone); border-radius: 2px; }
.plot { position: relative; height: 17rem; margin: 0 .6rem 2.9rem 3.1rem; }
.plot.small { height: 7.5rem; margin: 0 .3rem 1.5rem; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.plot span { position: absolute; color: var(--soft); font-size: .78rem; line-height: 1;
  white-space: nowrap; font-variant-numeric: tabular-nums; }
.plot .x { top: calc(100% + .45rem); transform: translateX(-50%); }
.plot .x.first { transform: none; } .plot .x.last { transform: translateX(-100%); }
.plot .y { right: calc(100% + .5rem); transform: translateY(-50%); }
.plot .x-title { top: calc(100% + 1.6rem); left: 50%; transform: translateX(-50%); }
.plot .rule-label { left: .2rem; transform: translateY(-135%); color: var(--second); }
.plot .rule-label.below { transform: translateY(35%); }
.plot path { fill: none; vector-effect: non-scaling-stroke; }
.plot .grid { stroke: var(--faint); } .plot .axis { stroke: var(--hair); }
.plot .curve { stroke: var(--tone); stroke-width: 2.2; stroke-linejoin: round; }
.plot .dot { stroke: var(--tone); stroke-width: 7; stroke-linecap: round; }
.plot .dashed { stroke-dasharray: 6 5; }
.plot .reference { stroke: var(--second); stroke-width: 1.4; stroke-dasharray: 3 4; }
.plot .area { fill: var(--other); } .plot .step { stroke: var(--accent);
  stroke-width: 2; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr));
  gap: .3rem 1.6rem; }
.columns > * { min-width: 0; }
.columns:has(.plot) { align-items: end; }
ul { margin: .5rem 0; padding-left: 1.2rem; max-width: 46rem; } li { margin: .3rem 0; }
.tiles + h3 { margin-top: 1.9rem; }
section.first { margin-top: 1.4rem; }
.quote { margin: .8rem 0; }
blockquote { margin: 0; padding: .7rem 1rem; border-left: 3px solid var(--hair);
  background: var(--card); border-radius: 0 8px 8px 0; white-space: pre-wrap;
  overflow-wrap: anywhere; font: 1rem/1.6 Charter, "Iowan Old Style", Georgia, serif; }
.quote figcaption { margin-top: .3rem; }
mark { background: var(--mark); color: inherit; padding: .05em 0; border-radius: 2px; }
.given { color: var(--soft); }
code, pre { font: .86em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { overflow-wrap: anywhere; }
pre { overflow-x: auto; padding: .8rem 1rem; background: var(--card); border-radius: 8px;
  border: 1px solid var(--faint); }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); font-weight: 550; }
footer { margin-top: 3.5rem; padding-top: .9rem; border-top: 1px solid var(--hair);
  color: var(--soft); font-size: .82rem; }
@media (max-width: 36rem) {
  main { padding: 1.25rem 1rem 3rem; } h1 { font-size: 1.5rem; }
  .lead { flex-direction: column; gap: .3rem; font-size: 1rem; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .5rem; }
  .tile { padding: .65rem .8rem; } .tile .value { font-size: 1.35rem; }
  .bars { grid-template-columns: 1fr auto; row-gap: .1rem; }
  .bars .track { grid-column: 1 / -1; margin-bottom: .5rem; }
  .bars .amount { grid-column: 2; } .plot { height: 14rem; }
  table.wide, .wide caption, .wide tbody, .wide tr { display: block; }
  .wide thead { display: none; }
  .wide tr { padding: .6rem 0; border-bottom: 1px solid var(--faint); }
  .wide tr { position: relative; }
  .wide td, .wide td.number { display: flow-root; padding: .1rem 0; border: 0;
    text-align: right; white-space: normal; }
  .wide td::before { content: attr(data-name); float: left; margin-right: 1.2rem;
    color: var(--soft); }
  .wide td:empty { display: none; }
  .wide td:first-child { text-align: left; font-weight: 600; }
  .wide td[data-name=""]:last-child { position: absolute; top: .6rem; right: 0; }
  .wide tr:has(td[data-name=""]:last-child) td:first-child { padding-right: 6rem; }
  .wide td:first-child::before { content: none; }
  .wide td:first-child code, .wide td:first-child .note { font-weight: 400; }
  td code { overflow-wrap: anywhere; }
}
@media print {
  body { background: none; font-size: 10.5pt; } main { max-width: none; padding: 0; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  figure, .tile, tr, .quote { break-inside: avoid; } h2, h3 { break-after: avoid; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
      content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{{ title }} · Loomline</title>
<style>{{ style }}</style>
</head>
<body>
<main>
<div class="brand">
<svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2.4"
     stroke-linecap="round" aria-hidden="true">
<path d="M7 2v6M7 14v8M17 2v8M17 16v6M2 7h10M18 7h4M2 17h2M10 17h12M12 4v0"/></svg>
<b>Loomline</b></div>
<header>
<h1>{{ title }}</h1>
<p class="lead {{ status }}">{{ badge }}<span>{{ lead }}</span></p>
{% if facts %}
<dl class="facts">
{% for name, value in facts.items() %}
<div><dt>{{ name }}</dt><dd>{{ value }}</dd></div>
{% endfor %}
</dl>
{% endif %}
</header>
{% for heading, note, blocks in sections %}
<section{% if not heading %} class="first"{% endif %}>
{% if heading %}<h2>{{ heading }}</h2>{% endif %}

{% if note %}<p class="note">{{ note }}</p>{% endif %}

{% for block in blocks %}
{{ block }}
{% endfor %}
</section>
{% endfor %}
{% if footer %}<footer>{{ footer }}</footer>{% endif %}

</main>
</body>
</html>
"""
