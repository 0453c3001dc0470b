# The decoder's vocabulary projection only, otherwise as UniAdapter's MSRVTT-QA recipe.
_base_ = '../uniadapter/blip_msrvtt_qa.py'
model = dict(
    adapter=None, trainable='heads', train_lm_head=True, decoder=dict(tie_word_embeddings=False)
)  # the word embeddings stay frozen
