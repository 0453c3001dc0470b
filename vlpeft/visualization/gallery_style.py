"""Style sheet of the retrieval gallery: light and dark, no external resource, no script."""

STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --line: #dfe3e8; --text: #16191d; --soft: #5d6672;
  --good: #12834a; --good-back: #e2f5ea; --near: #9a6200; --near-back: #fdf1d7; --far: #b3261e; --far-back: #fce8e6; }
@media (prefers-color-scheme: dark) {
  :root { --page: #101317; --card: #1a1e24; --line: #313842; --text: #e9edf2; --soft: #9aa5b1;
    --good: #5fd394; --good-back: #12311f; --near: #f0b64e; --near-back: #38290b; --far: #ff8a80;
    --far-back: #3d1714; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { margin: 0 0 4px; font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; text-wrap: balance; }
h2 { margin: 44px 0 14px; font-size: 19px; letter-spacing: -0.01em; }
h3 { margin: 0; font-size: 16px; font-weight: 600; overflow-wrap: anywhere; }
p { margin: 0; color: var(--soft); max-width: 80ch; }
.query { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 16px 18px 18px;
  margin-bottom: 16px; }
.head { display: flex; gap: 14px; align-items: flex-start; justify-content: space-between; margin-bottom: 14px; }
.rank { flex: none; font-size: 13px; font-weight: 600; padding: 2px 11px; border-radius: 99px; white-space: nowrap; }
.top { color: var(--good); background: var(--good-back); }
.near { color: var(--near); background: var(--near-back); }
.far { color: var(--far); background: var(--far-back); }
.clips { display: grid; grid-template-columns: repeat(5, minmax(0, 1fr)); gap: 12px; }
.clip { border: 1px solid var(--line); border-radius: 10px; padding: 8px; min-width: 0; }
.right { border-color: var(--good); box-shadow: 0 0 0 2px var(--good); }
.play, .strip { display: block; width: 100%; border-radius: 6px; background-repeat: no-repeat; }
.play { animation: play 2s infinite; }
.strip { position: relative; margin-top: 6px; background-size: 100% 100%; border-radius: 3px; }
.strip::after { content: ""; position: absolute; inset: 0; background: repeating-linear-gradient(to right,
  transparent 0 calc(var(--frame) - 2px), var(--card) calc(var(--frame) - 2px) var(--frame)); }
@keyframes play { from { background-position-x: 0%; } to { background-position-x: 100%; } }
@media (prefers-reduced-motion: reduce) { .play { animation: none; } }
.note { display: flex; justify-content: space-between; gap: 8px; margin-top: 8px; font-size: 13px; color: var(--soft);
  font-variant-numeric: tabular-nums; }
.note b { color: var(--good); }
.caption { margin-top: 2px; font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.missing { padding: 10px; font-size: 13px; color: var(--far); overflow-wrap: anywhere; border: 1px dashed var(--line);
  border-radius: 6px; }
.reverse { display: grid; grid-template-columns: 210px minmax(0, 1fr); gap: 20px; align-items: start; }
ol { list-style: none; margin: 0; padding: 0; }
li { display: flex; justify-content: space-between; gap: 16px; padding: 6px 11px; border: 1px solid transparent;
  border-radius: 8px; overflow-wrap: anywhere; }
li .score { flex: none; color: var(--soft); font-size: 13px; font-variant-numeric: tabular-nums; }
li.right { background: var(--good-back); }
@media (max-width: 820px) { .clips { grid-template-columns: repeat(auto-fill, minmax(120px, 1fr)); }
  .reverse { grid-template-columns: minmax(0, 1fr); } .reverse .clip { max-width: 240px; } }
@media (max-width: 480px) { main { padding: 24px 14px 48px; } .query { padding: 13px 14px 15px; }
  h1 { font-size: 25px; } }
"""
