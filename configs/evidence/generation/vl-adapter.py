# VL-Adapter: a bottleneck (r = 47) after every sub-layer of encoder and decoder, shared by the tasks: as many
# parameters as VL-PET large.
_base_ = './_tasks_.py'
model = dict(adapter=dict(type='Bottleneck', bottleneck=47, targets=dict(towers=['encoder', 'decoder'])))
