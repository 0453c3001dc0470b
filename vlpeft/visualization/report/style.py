"""What the report adds to the style sheets of the gallery and of the page of answers."""

REPORT_STYLE = """
:root { --ink: #0b5cad; --ink-soft: #0b5cad26; --other: #b4500b; --other-soft: #b4500b30; --track: #e9ecf0; }
@media (prefers-color-scheme: dark) { :root { --ink: #62b4f5; --ink-soft: #62b4f52e; --other: #f0a35e;
  --other-soft: #f0a35e3a; --track: #272d36; } }
html { scroll-padding-top: 12px; }
h2 { margin: 52px 0 6px; font-size: 22px; }
h2 small { margin-left: 6px; font-size: 14px; font-weight: 400; color: var(--soft); }
h3 { margin: 34px 0 10px; font-size: 17px; }
h4 { margin: 0; font-size: 15.5px; font-weight: 600; line-height: 1.4; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 8px; margin-top: 18px; }
nav a { padding: 3px 12px; border: 1px solid var(--line); border-radius: 99px; color: var(--ink); text-decoration: none;
  font-size: 14px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 470px), 1fr)); gap: 6px 28px;
  margin: 18px 0 0; font-size: 14px; }
.facts div { display: grid; grid-template-columns: 88px minmax(0, 1fr); gap: 10px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.notice { font-size: 14px; margin: 4px 0 12px; }
code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.scores { margin: 14px 0 12px; }
.figures { width: 100%; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  border-collapse: separate; border-spacing: 0; overflow: hidden; }
.figures th, .figures td { padding: 7px 14px; white-space: normal; }
.figures tbody tr:last-child > * { border-bottom: 0; }
.figures th:first-child { padding-left: 16px; color: var(--text); font-weight: 400; }
.figures thead th { color: var(--soft); font-size: 13px; }
.figures small { display: block; color: var(--soft); font-size: 12.5px; line-height: 1.35; }
.figures .value { font-weight: 650; font-size: 15px; }
.figures .track { width: 30%; min-width: 110px; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.ends { color: var(--soft); white-space: nowrap; } .none { color: var(--soft); }
.scale { position: relative; display: block; height: 12px; border-radius: 3px; background: var(--track); }
.whisker { position: absolute; top: calc(50% - 1px); height: 2px; min-width: 2px; background: var(--text); }
.whisker::before, .whisker::after { content: ""; position: absolute; top: -3px; width: 2px; height: 8px;
  background: var(--text); }
.whisker::before { left: 0; } .whisker::after { right: 0; }
.at { position: absolute; top: 1px; width: 10px; height: 10px; margin-left: -5px; border-radius: 50%;
  background: var(--ink); border: 2px solid var(--card); box-sizing: border-box; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: stretch; }
.chart { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 15px 18px 16px; }
figcaption { font-size: 13.5px; line-height: 1.45; color: var(--soft); margin-bottom: 12px; max-width: 80ch; }
figcaption b { color: var(--text); }
.curve { display: block; width: 100%; max-width: 460px; height: auto; margin: 0 auto; }
.curve text { font: 12.5px system-ui, sans-serif; fill: var(--soft); }
.curve .name { fill: var(--text); font-weight: 600; }
.grid { stroke: var(--line); stroke-width: 1; }
.band { fill: var(--ink-soft); }
.line { fill: none; stroke: var(--ink); stroke-width: 2.5; stroke-linejoin: round; }
.chance { fill: none; stroke: var(--other); stroke-width: 2; stroke-dasharray: 5 5; }
.dot { fill: var(--ink); stroke: var(--card); stroke-width: 1.5; }
.bars { width: 100%; border-collapse: collapse; font-size: 13.5px; }
.bars th, .bars td { padding: 4px 8px; border: 0; white-space: normal; }
.bars th[scope=row] { text-align: left; padding-left: 0; color: var(--text); font-weight: 400; max-width: 24em;
  overflow-wrap: anywhere; }
.bars td:last-child { padding-right: 0; }
.bars thead th { white-space: nowrap; font-size: 12.5px; font-weight: 400; color: var(--soft); padding-bottom: 6px; }
.bars thead th:last-child { padding-right: 0; } .bars thead th:first-child { text-align: left; padding-left: 0; }
.bars .short { white-space: nowrap; } .bars .track { width: 99%; }
.bars th[scope=row]:not(.short) { min-width: 13em; } .repeated th[scope=row] { min-width: 45%; }
.bars .track { position: relative; min-width: 70px; text-align: left; }
.bars .track .bar { display: block; height: 15px; border-radius: 0 4px 4px 0; background: var(--ink); min-width: 0; }
.bars .track .whisker { margin: 0; background: var(--other); box-shadow: 0 0 0 1px var(--card); }
.bars .track .whisker::before, .bars .track .whisker::after { background: var(--other); }
.bars .number { width: 1%; }
.pair > div > h3 { margin-top: 0; } .pair > div { display: flex; flex-direction: column; }
.pair > div > .chart { flex: 1; }
.arrow { color: var(--soft); }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--ink); font-size: 14px; margin-bottom: 8px; }
.faults { margin: 14px 0; padding: 12px 16px; border-radius: 10px; background: var(--far-back); color: var(--far);
  font-size: 14px; overflow-wrap: anywhere; }
.faults ul { margin: 6px 0 0; padding-left: 20px; } .faults li { display: list-item; padding: 1px 0; }
.found { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
.frames { position: relative; } .frames .strip { margin-top: 0; border-radius: 6px; overflow: hidden; }
.frames.still { max-width: 220px; } .frames.still .strip::after { content: none; }
.weights { display: grid; grid-template-columns: repeat(var(--n), minmax(0, 1fr)); margin: 6px 0 0; }
.weights li { position: relative; display: block; height: 42px; padding: 0; border-radius: 0; }
.weights li::before { content: ""; position: absolute; left: 0; right: 0; top: 13px; height: 1px;
  background: var(--soft); }
.weights li::after { content: ""; position: absolute; left: 22%; right: 22%; height: calc(13px * var(--size)); }
.weights .more::after { bottom: 29px; background: var(--ink); border-radius: 2px 2px 0 0; }
.weights .less::after { top: 13px; border-radius: 0 0 2px 2px; border: 1px solid var(--other); border-top: 0;
  background: repeating-linear-gradient(45deg, var(--other) 0 2px, transparent 2px 4px); }
.weights span { position: absolute; left: 0; right: 0; bottom: 0; text-align: center; font-size: 11px;
  line-height: 14px; color: var(--soft); font-variant-numeric: tabular-nums; }
.weights.many span { display: none; } .weights.many li { height: 27px; } .weights.many .more::after { bottom: 14px; }
.file { display: block; margin-top: 3px; color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
.query.card .asked + .asked { border: 0; }
.card { grid-template-columns: 150px minmax(0, 1fr); margin: 0; }
.card:has(.frames:not(.still)) { grid-template-columns: minmax(0, 1fr); gap: 12px; }
li b, .note b { color: var(--good); font-weight: 600; }
.reverse { grid-template-columns: minmax(0, 330px) minmax(0, 1fr); }
@media (max-width: 820px) { .pair, .reverse { grid-template-columns: minmax(0, 1fr); }
  .reverse .clip { max-width: none; } }
@media (max-width: 620px) { .found { grid-template-columns: minmax(0, 1fr); } .figures .track { display: none; }
  .figures thead th:last-child { display: none; } .figures th, .figures td { padding: 7px 8px; }
  .figures th:first-child { padding-left: 12px; } .chart { padding: 13px 12px 14px; }
  .bars .track { min-width: 56px; } .bars th[scope=row]:not(.short) { min-width: 8.5em; }
  .card { grid-template-columns: 104px minmax(0, 1fr); gap: 13px; } .card .frames.still { max-width: 104px; }
  .card .truth, .card .answer { grid-template-columns: minmax(0, 1fr) auto; gap: 0 8px; overflow-wrap: break-word; }
  .card .truth span, .card .answer span { grid-column: 1 / -1; }
  .bars th, .bars td { padding: 4px 5px; } .faults { padding: 10px 12px; } }
@media print { .query { break-inside: avoid; } }
"""
