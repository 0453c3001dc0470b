"""Style sheet of the page of samples, behind that of the gallery. Colours of tokens come with another mark each: a
line, dashes, a stroke.
"""

SAMPLES_STYLE = """
:root { --learned: #0a5fa8; --learned-back: #dcecfb; }
@media (prefers-color-scheme: dark) { :root { --learned: #8cc4ff; --learned-back: #132c47; } }
dl { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 12px 0 0; font-size: 13px; }
dl div { display: flex; gap: 7px; min-width: 0; }
dt { color: var(--soft); flex: none; }
dd { margin: 0; overflow-wrap: anywhere; min-width: 0; }
.legend { margin-top: 18px; font-size: 13px; max-width: none; line-height: 2; }
h2 + p { margin: -8px 0 14px; font-size: 13.5px; overflow-wrap: anywhere; }
h4 { margin: 0 0 8px; font-size: 13px; color: var(--soft); font-weight: 600; }
.number { flex: none; font-size: 13px; color: var(--soft); font-variant-numeric: tabular-nums; }
.view + .view { margin-top: 16px; padding-top: 14px; border-top: 1px dashed var(--line); }
.frames { display: flex; flex-wrap: wrap; gap: 10px; }
figure { margin: 0; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; border-radius: 6px; border: 1px solid var(--line);
  image-rendering: pixelated; }
figcaption { font-size: 12px; color: var(--soft); margin-top: 3px; font-variant-numeric: tabular-nums; }
.small { font-size: 12.5px; color: var(--soft); font-weight: 400; }
p.small { margin-top: 6px; }
.text { margin-top: 12px; }
.name { font-size: 13px; font-weight: 600; }
.plain { overflow-wrap: anywhere; white-space: pre-wrap; font-size: 14.5px; }
.empty { color: var(--soft); font-style: italic; }
.annotated { color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.annotated span { margin-right: 8px; font-weight: 600; }
.tokens { margin-top: 5px; display: flex; flex-wrap: wrap; gap: 4px; }
.t { font: 12.5px/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; padding: 0 5px; border-radius: 4px;
  border: 1px solid var(--line); background: var(--page); overflow-wrap: anywhere; min-width: 0;
  white-space: pre-wrap; }
.t sub { margin-left: 4px; font-size: 10.5px; color: var(--soft); }
.t.special { color: var(--soft); border-style: dotted; }
.t.learned { color: var(--learned); background: var(--learned-back); border-color: var(--learned);
  border-bottom-width: 2px; }
.t.unknown { color: var(--far); background: var(--far-back); border: 1px dashed var(--far); font-weight: 600; }
.t.cut { color: var(--near); background: var(--near-back); text-decoration: line-through; border-color: var(--near); }
.error { color: var(--far); background: var(--far-back); border-radius: 8px; padding: 9px 12px; max-width: none;
  overflow-wrap: anywhere; }
.error b { margin-right: 6px; }
.query > dl { border-top: 1px solid var(--line); padding-top: 10px; }
"""
