# The visual projection alone: BART stays as it was pre-trained on text.
_base_ = './_captions_.py'
