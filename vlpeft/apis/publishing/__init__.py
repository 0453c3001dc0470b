"""Trained parts for others: the file of weights, its model card, and a folder as the Hugging Face hub keeps it.

``run`` reads what a checkpoint records, ``facts`` says what is known of it, ``card`` tells that in Markdown,
``private`` takes out what is nobody else's business, ``folder`` writes the folder, ``push`` uploads it.
"""
