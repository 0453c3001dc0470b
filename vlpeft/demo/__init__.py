"""The page of ``vlpeft demo``: models tried in a browser, with and without their adapter.

Gradio, the extra ``demo``, is imported by :mod:`.page` and :mod:`.server` alone; what the tabs answer is made without
it.
"""
