"""Measures the memory of a training step: what the backward pass needs of the forward pass, and the peak of the device.

Each method adapts a copy of the same model of random weights. A step is forward, loss and backward. What autograd keeps
is counted tensor by tensor, weights left out and views of one storage counted once; it is the same on every machine.
The peak is that of the whole step, gradients included, less what was held before it: of what is allocated on CUDA
devices, elsewhere of the process's resident memory, for which each method is best measured by a call of its own.
"""

import argparse
import gc
import json
import sys

import torch
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from vlpeft.analysis.resident_memory import reset_peak, status
from vlpeft.benchmarks.kept import Kept
from vlpeft.engine.messages import run_main

MIB = 2**20
#: Geometry of transformers' configs by the name of the option.
MODELS = {
    't5-base': ('t5', dict(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12, vocab_size=32128)),
    'bart-base': ('bart', dict(d_model=768, encoder_layers=6, decoder_layers=6, vocab_size=50265)),
    't5-tiny': ('t5', dict(d_model=48, d_kv=8, d_ff=96, num_layers=3, num_heads=12, vocab_size=64)),
}
HEADS = dict(encoder_attention_heads=12, decoder_attention_heads=12, encoder_ffn_dim=3072, decoder_ffn_dim=3072)
METHODS = {
    'lst': dict(type='LST'),
    'lora': dict(type='LoRA', rank=16, targets=dict(kinds=['self_attn', 'cross_attn'], linears=['q', 'v'])),
    'bottleneck': dict(type='Bottleneck', bottleneck=96, targets={}),
    'full': None,
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', choices=list(MODELS), default='t5-base', help='default: t5-base')
    parser.add_argument('--methods', nargs='+', choices=list(METHODS), default=list(METHODS), help='default: all')
    parser.add_argument('--batch-size', type=int, default=4, help='default: 4')
    parser.add_argument('--length', type=int, default=56, help='tokens of a text (default: 56)')
    parser.add_argument('--target', type=int, default=10, help='tokens of an answer (default: 10)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--json', action='store_true', help='print one JSON object for each method')
    return parser.parse_args(argv)


def build(name: str, device: str) -> nn.Module:
    """A model of random weights."""
    from transformers import AutoConfig, AutoModelForSeq2SeqLM

    kind, sizes = MODELS[name]
    config = AutoConfig.for_model(kind, **sizes, **(HEADS if kind == 'bart' else {}), decoder_start_token_id=0)
    torch.manual_seed(0)
    return AutoModelForSeq2SeqLM.from_config(config).to(device)


class Peak:
    """The highest memory since it was made, less what was held then."""

    def __init__(self, device: str) -> None:
        self.is_cuda = device.startswith('cuda')
        gc.collect()
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(device)
            self.before = torch.cuda.memory_allocated(device)
        else:
            reset_peak()
            self.before = status('VmRSS')
        self.device = device

    def mib(self) -> float:
        highest = torch.cuda.max_memory_allocated(self.device) if self.is_cuda else status('VmHWM')
        return (highest - self.before) / MIB


def measure(name: str, method: str, batch: dict[str, Tensor], device: str) -> dict:
    """One step."""
    import vlpeft

    model = build(name, device)
    config = METHODS[method]
    adapted = model if config is None else vlpeft.attach(model, config, check_after=0)
    adapted.train()
    parameters = [*model.parameters(), *(() if config is None else adapted.parameters())]
    kept = Kept(parameters)
    record = dict(model=name, method=method, trained=sum(p.numel() for p in parameters if p.requires_grad))
    peak = Peak(device)
    loss = kept.during(lambda: adapted(**batch, use_cache=False).loss)
    record['kept_mib'] = kept.total / MIB
    loss.backward()
    return dict(record, peak_mib=peak.mib())


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    init_default_scope('vlpeft')
    ids = torch.randint(3, 60, (args.batch_size, args.length), generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, 60, (args.batch_size, args.target), generator=torch.Generator().manual_seed(1))
    batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels)
    batch = {key: value.to(args.device) for key, value in batch.items()}
    for method in args.methods:
        record = measure(args.model, method, batch, args.device)
        if args.json:
            print(json.dumps(record))
            continue
        print(
            f'{args.model}, {args.batch_size} x {args.length} tokens, {method}: {record["trained"] / 1e6:.2f} M '
            f'parameters train, {record["kept_mib"]:.1f} MiB kept for the backward pass, peak '
            f'{record["peak_mib"]:.1f} MiB'
        )


if __name__ == '__main__':
    sys.exit(run_main(main))
