"""What the page of answers adds to the style sheet of the retrieval gallery."""

ANSWERS_STYLE = """
.scores { overflow-x: auto; margin: 24px 0 32px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 7px 14px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th { color: var(--soft); font-weight: 600; }
.cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 16px; align-items: start; }
.card { display: grid; grid-template-columns: 144px minmax(0, 1fr); gap: 18px; margin: 0; align-items: start; }
.picture { display: block; width: 100%; border-radius: 8px; border: 1px solid var(--line); image-rendering: pixelated; }
.picture.missing { aspect-ratio: 1; }
.asked + .asked { margin-top: 12px; padding-top: 12px; border-top: 1px solid var(--line); }
.asked h3 { font-size: 15px; margin-bottom: 4px; }
.truth, .answer { display: grid; grid-template-columns: 88px minmax(0, 1fr) auto; gap: 10px; align-items: baseline;
  padding: 3px 0; font-size: 14px; line-height: 1.45; overflow-wrap: anywhere; }
.truth { font-weight: 600; }
.truth span, .answer span { color: var(--soft); font-size: 12.5px; font-weight: 400; }
.answer.right { box-shadow: none; }
.answer q { quotes: none; }
.answer .rank { font-size: 12px; padding: 1px 9px; }
mark { color: var(--far); background: var(--far-back); border-radius: 4px; padding: 0 3px; }
@media (max-width: 1000px) { .cards { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 560px) { main { padding: 24px 14px 48px; } .card { grid-template-columns: minmax(0, 1fr); }
  .card .picture { max-width: 192px; } .truth, .answer { grid-template-columns: 76px minmax(0, 1fr) auto; } }
"""
