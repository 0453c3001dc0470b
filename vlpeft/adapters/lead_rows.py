"""What a caller of a language model says of the rows that it puts before the texts.

It passes these keyword arguments beside its embeddings; blocks and attentions receive them too.
"""

#: The ``slice`` of rows that a soft prompt fills.
PROMPT_ROWS = 'prompt_rows'
#: How many rows at the start have no position, which says that the caller itself makes room for a prompt.
BARE_ROWS = 'bare_rows'
