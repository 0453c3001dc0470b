# The decoder's vocabulary projection only, otherwise as UniAdapter's VQA v2 recipe.
_base_ = '../uniadapter/blip_vqav2.py'
model = dict(
    adapter=None, trainable='heads', train_lm_head=True, decoder=dict(tie_word_embeddings=False)
)  # the word embeddings stay frozen
test_evaluator = dict(out_file='work_dirs/heads_blip_vqav2_submission.json')
