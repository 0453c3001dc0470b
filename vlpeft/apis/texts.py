"""Texts that people ask with."""


def check_readable(text: str, what: str) -> None:
    """Refuses what no tokenizer can read; ``what`` is what the message calls it.

    Raises:
        ValueError: It holds half of a pair of characters, as bytes that are no UTF-8 leave behind.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f'{what} {text!a} is no text: it holds half of a pair of characters') from None
