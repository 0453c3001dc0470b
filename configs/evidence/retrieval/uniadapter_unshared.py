# UniAdapter whose towers share nothing, of as many parameters (r = 56).
_base_ = './uniadapter.py'
model = dict(adapter=dict(bottleneck=56, share='none'))
