# The map from vision tokens to embeddings alone.
_base_ = './_tasks_.py'
model = dict(trainable='heads')
