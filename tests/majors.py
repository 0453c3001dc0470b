"""What tests call differently with transformers 4.57 and 5."""

from vlpeft.compat import transformers_major

FIVE = transformers_major() >= 5
#: The argument and the output that hold a cache of keys and values.
CACHE = 'cache' if FIVE else 'past_key_values'
#: How many arguments a block of CLIP and of BART's encoder has beside its states, and which may all be None.
MASKS = 1 if FIVE else 2
