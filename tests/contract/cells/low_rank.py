"""Low-rank changes of linear maps."""

METHODS = dict(
    lora=dict(type='LoRA', rank=2, targets={}),
)

#: What the message of a refusal says.
REFUSED: dict[tuple[str, str], str] = {}
