"""Look of the page: system fonts, light and dark by the browser's choice, a column on a phone."""

import gradio as gr

CSS = """
.gradio-container { --vl-good: #12834a; --vl-good-back: #e2f5ea; --vl-bad: #b3261e; --vl-bad-back: #fce8e6;
  --vl-soft: #5d6672; --vl-accent: #4338ca; --vl-accent-back: #eef0ff; }
.dark .gradio-container, .gradio-container.dark { --vl-good: #5fd394; --vl-good-back: #12311f; --vl-bad: #ff8a80;
  --vl-bad-back: #3d1714; --vl-soft: #9aa5b1; --vl-accent: #a5b4fc; --vl-accent-back: #1e2145; }
.gradio-container .main { max-width: 1140px; margin: 0 auto; }
.gradio-container .html-container { padding: 0; }
.vl-head { padding: 14px 0 6px; }
.vl-head h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 6px; font-weight: 700; }
.vl-head p { color: var(--vl-soft); margin: 0; font-size: 16px; line-height: 1.5; text-wrap: balance; }
.vl-facts { margin: 6px 0 4px; display: grid; gap: 5px; font-size: 14px; line-height: 1.5; }
.vl-facts div { display: grid; grid-template-columns: 88px minmax(0, 1fr); gap: 12px; }
.vl-facts dt { color: var(--vl-soft); }
.vl-facts dd { margin: 0; overflow-wrap: anywhere; }
.vl-hint { color: var(--vl-soft); margin: 6px 0; }
.vl-problem { color: var(--vl-bad); background: var(--vl-bad-back); border-radius: 10px; padding: 10px 14px;
  margin: 0; overflow-wrap: anywhere; }
.vl-missing { margin: 20px 0 40px; font-size: 16px; }
.gradio-container .vl-examples { flex-wrap: wrap; gap: 8px; }
.gradio-container .vl-examples button { flex: 0 1 auto; width: auto; white-space: normal; text-align: left;
  font-weight: 400; font-size: 14px; line-height: 1.35; border-radius: 18px; padding: 6px 14px; box-shadow: none;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-primary);
  color: var(--body-text-color); }
.gradio-container .vl-examples button:hover { border-color: var(--vl-accent); background: var(--vl-accent-back); }
.gradio-container .vl-pictured button { border-radius: 12px; padding: 6px 14px 6px 6px; gap: 10px; }
.gradio-container .vl-pictured button img { width: 48px; height: 48px; max-width: none; border-radius: 8px; margin: 0;
  object-fit: cover; }
.gradio-container .submit-button { background: var(--button-primary-background-fill); border-radius: 8px;
  color: var(--button-primary-text-color); font-weight: 600; font-size: 14px; padding: 8px 18px; height: auto; }
.gradio-container .submit-button:hover { background: var(--button-primary-background-fill-hover); }
.gradio-container button:focus-visible { outline: 2px solid var(--vl-accent); outline-offset: 2px; }
.gradio-container [role=tab].selected { color: var(--vl-accent); font-weight: 600; }
.vl-sides { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 18px; }
.vl-side { border: 1px solid var(--border-color-primary); border-radius: 14px; padding: 14px 16px 16px; min-width: 0;
  background: var(--background-fill-primary); }
.vl-side h3 { margin: 0 0 10px; font-size: 15px; font-weight: 600; }
.vl-side:last-child { border-color: var(--vl-accent); }
.vl-side:last-child h3 { color: var(--vl-accent); }
.vl-clips { list-style: none; margin: 0; padding: 0; display: grid; gap: 12px;
  grid-template-columns: repeat(2, minmax(0, 1fr)); }
.vl-clip { border: 1px solid var(--border-color-primary); border-radius: 10px; padding: 8px; min-width: 0; margin: 0; }
.vl-clip.vl-is-right { border-color: var(--vl-good); box-shadow: 0 0 0 1px var(--vl-good); }
.vl-play { display: block; width: 100%; padding: 0; border: 0; background: none; cursor: pointer; border-radius: 6px; }
.vl-clip video, .vl-clip img { width: 100%; aspect-ratio: 4 / 3; object-fit: contain; border-radius: 6px;
  background: var(--background-fill-secondary); display: block; margin: 0; }
.vl-line { display: flex; justify-content: space-between; gap: 8px; margin: 8px 0 0; font-size: 13px; line-height: 1.4;
  font-variant-numeric: tabular-nums; color: var(--vl-soft); }
.vl-line b { font-weight: 500; color: var(--body-text-color); overflow-wrap: anywhere; }
.vl-right { display: inline-block; font-size: 12.5px; font-weight: 600; line-height: 1.5; color: var(--vl-good);
  background: var(--vl-good-back); border-radius: 99px; padding: 1px 10px; }
.vl-clip .vl-right { margin-top: 6px; }
.vl-answer { font-size: 22px; font-weight: 600; line-height: 1.3; margin: 0; overflow-wrap: anywhere; }
.vl-answer .vl-right { margin-left: 10px; vertical-align: middle; }
.vl-score { color: var(--vl-soft); font-size: 13.5px; margin: 6px 0 0; font-variant-numeric: tabular-nums; }
.vl-truth { color: var(--vl-soft); margin: 12px 0 0; }
.vl-truth b { color: var(--body-text-color); font-weight: 600; }
.vl-shown img { width: 100%; max-height: 280px; object-fit: contain; border-radius: 12px; margin: 0;
  background: var(--background-fill-secondary); }
@media (max-width: 720px) {
  .gradio-container .main { padding: 10px 14px 40px; }
  .vl-sides { grid-template-columns: minmax(0, 1fr); }
  .vl-facts div { display: block; }
  .vl-facts dt { display: inline; margin-right: 6px; }
  .vl-facts dd { display: inline; }
  .vl-head h1 { font-size: 26px; }
  .vl-line { flex-direction: column; gap: 0; }
  .vl-shown img { max-height: 200px; }
}
@media (prefers-reduced-motion: reduce) { .gradio-container * { animation: none !important; } }
"""


def theme() -> gr.themes.Base:
    """Fonts that every machine has, so that none is fetched."""
    return gr.themes.Default(
        primary_hue='indigo',
        neutral_hue='slate',
        radius_size='lg',
        font=['system-ui', 'sans-serif'],
        font_mono=['ui-monospace', 'monospace'],
    )
