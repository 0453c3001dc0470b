# UniAdapter without its term of the fusion, of as many parameters (r = 76).
_base_ = './uniadapter.py'
model = dict(adapter=dict(bottleneck=76, modalities=['vision', 'text']))
