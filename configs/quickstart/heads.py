# Projections and matching head only.
_base_ = './_clips_.py'
