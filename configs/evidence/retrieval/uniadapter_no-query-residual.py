# UniAdapter without its query residual: passes that meet vision add the fusion's term alone.
_base_ = './uniadapter.py'
model = dict(adapter=dict(query_residual=False))
