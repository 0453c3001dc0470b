"""Times training steps with LoRA: ours, at hooks of a model that stays as it is, against Hugging Face PEFT, which puts
modules of its own in place of the linear maps.

Both adapt a copy of the same model of random weights with the same A and B, by way of a folder that PEFT writes. A step
is forward, loss, backward and AdamW. The two take steps in turn, and in each pair the other one begins; the median
of the pairs' ratios counts, and its quarters stand beside it. The losses of their first step are compared.
Needs the package peft, which the test extra has.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile

import torch
from mmengine.registry import init_default_scope

from vlpeft.benchmarks.interleave import CLOCKS, interleaved
from vlpeft.engine.messages import run_main

#: transformers' configs by the name of the option, and the linear maps that are adapted, as PEFT names them.
MODELS = {
    'llama': (
        dict(hidden_size=512, num_hidden_layers=8, num_attention_heads=8, intermediate_size=1376, vocab_size=8192),
        ['q_proj', 'k_proj', 'v_proj', 'o_proj'],
    ),
    'bart': (
        dict(
            d_model=512,
            encoder_layers=4,
            decoder_layers=4,
            encoder_attention_heads=8,
            decoder_attention_heads=8,
            encoder_ffn_dim=2048,
            decoder_ffn_dim=2048,
            vocab_size=8192,
        ),
        ['q_proj', 'k_proj', 'v_proj', 'out_proj'],
    ),
    'gpt2': (dict(n_embd=512, n_layer=9, n_head=8, vocab_size=8192), ['c_attn']),
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--model', choices=list(MODELS), default='llama', help='default: llama')
    parser.add_argument('--maps', nargs='+', help='linear maps, as PEFT names them (default: those of the attention)')
    parser.add_argument('--rank', type=int, default=8, help='default: 8')
    parser.add_argument('--batch-size', type=int, default=2, help='default: 2')
    parser.add_argument('--length', type=int, default=64, help='tokens of a text (default: 64)')
    parser.add_argument('--pairs', type=int, default=15, help='timed pairs of steps (default: 15)')
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument(
        '--clock',
        choices=list(CLOCKS),
        default='wall',
        help='cpu counts the time of the processor, which other work on the machine does not lengthen (default: wall)',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    return parser.parse_args(argv)


def build(name: str, device: str):
    """A model without dropout, so that both ways compute the same."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.for_model(name, **MODELS[name][0])
    for rate in ('dropout', 'attention_dropout', 'activation_dropout', 'embd_pdrop', 'attn_pdrop', 'resid_pdrop'):
        if hasattr(config, rate):
            setattr(config, rate, 0.0)
    auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    return auto.from_config(config).to(device)


def adapt_both(base, maps: list[str], rank: int):
    """The model in PEFT, and in a handle of ours with the same A and B."""
    from peft import LoraConfig, get_peft_model

    import vlpeft

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=maps, init_lora_weights=False)
    theirs = get_peft_model(copy.deepcopy(base), config)
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        return theirs, vlpeft.load_adapter(base, folder)


class Stepper:
    """Steps of one of the two."""

    def __init__(self, model, batch: dict) -> None:
        self.model, self.batch = model.train(), batch
        self.trained = [param for param in model.parameters() if param.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=1e-4)
        self.losses: list[float] = []

    def step(self) -> None:
        """Takes one."""
        loss = self.model(**self.batch).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.losses.append(loss.item())


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    init_default_scope('vlpeft')
    base = build(args.model, args.device)
    size = sum(param.numel() for param in base.parameters())
    ids = torch.randint(3, 8192, (args.batch_size, args.length), device=args.device)
    batch = dict(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids)
    maps = args.maps or MODELS[args.model][1]
    theirs, ours = (Stepper(model, batch) for model in adapt_both(base, maps, args.rank))
    seconds = interleaved(dict(peft=theirs.step, ours=ours.step), args.pairs, warm_up=2, clock=args.clock)
    gains = [mine / other for mine, other in zip(seconds['ours'], seconds['peft'], strict=True)]
    mine, other = (statistics.median(seconds[name]) for name in ('ours', 'peft'))
    low, _, high = statistics.quantiles(gains, n=4, method='inclusive') if len(gains) > 1 else gains * 3
    record = dict(
        model=args.model,
        parameters=size,
        clock=args.clock,
        trained=[sum(param.numel() for param in one.trained) for one in (ours, theirs)],
        pairs=args.pairs,
        ours_s=mine,
        peft_s=other,
        ratio=dict(median=statistics.median(gains), low=low, high=high),
        losses_differ_by=abs(ours.losses[0] - theirs.losses[0]),
    )
    if args.json:
        print(json.dumps(record))
        return
    print(
        f'{args.model}, {size / 1e6:.1f} M parameters, rank {args.rank}, {args.batch_size} x {args.length} tokens: a '
        f'step takes {record["ours_s"]:.3f} s ({args.clock}), {record["peft_s"]:.3f} s in PEFT; ratio '
        f'{record["ratio"]["median"]:.3f} ({low:.3f} to {high:.3f}), median and quarters of {args.pairs} pairs; first '
        f'losses differ by {record["losses_differ_by"]:.1e}'
    )


if __name__ == '__main__':
    sys.exit(run_main(main))
