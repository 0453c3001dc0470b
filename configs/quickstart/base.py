# The base as it is, for its zero-shot row.
_base_ = './_clips_.py'
