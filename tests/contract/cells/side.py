"""Networks beside the towers."""

METHODS = dict(
    lst=dict(type='LST', reduction=2, heads=2, ffn_ratio=1),
    lst_add=dict(type='LST', reduction=4, heads=1, ffn_ratio=2, output='add', targets=dict(depths=[-1])),
)

#: What the message of a refusal says.
REFUSED: dict[tuple[str, str], str] = {}
