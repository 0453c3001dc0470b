"""Shows what a model sees of a data set: an HTML page of samples after all transforms of the config.

Frames as they enter the model, its normalisation undone; texts as they are cleaned and put into prompts, cut into the
model's tokens, with unknown words, what is cut off, and what is learned marked; labels and other fields. No weights are
needed. Samples that cannot be read are shown as such. The page opens without a network.
"""

import argparse
import sys

from vlpeft.datasets.checking.sets import SPLITS
from vlpeft.engine.arguments import add_config_arguments
from vlpeft.engine.console import quiet_console
from vlpeft.engine.launch import check_settings, load_config
from vlpeft.engine.messages import run_main

EPILOG = """examples:
  %(prog)s quickstart/uniadapter --repeats 3
  %(prog)s uniadapter/blip_msrvtt_qa --split test --indices 0 17 -1
  %(prog)s vl_pet/vlpet-large_bart-base_image --set vqa --number 20 --out vqa.html"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_config_arguments(parser)
    parser.add_argument('--split', choices=SPLITS, default='train', help='loader of the config (default: train)')
    parser.add_argument('--set', metavar='TASK', help='of several tasks only this one (default: all)')
    parser.add_argument('--out', default='samples.html', metavar='FILE.html', help='default: samples.html')
    parser.add_argument('--number', type=int, default=8, metavar='N', help='samples of each set (default: 8)')
    parser.add_argument('--indices', type=int, nargs='+', metavar='I', help='these samples instead; -1 is the last')
    parser.add_argument('--seed', type=int, default=0, help='of samples that are drawn, and of transforms (default: 0)')
    parser.add_argument(
        '--repeats', type=int, default=1, metavar='R', help='draw each sample so many times, for random transforms'
    )
    args = parser.parse_args(argv)
    for name, least in (('number', 1), ('repeats', 1), ('seed', 0)):
        if getattr(args, name) < least:
            parser.error(f'--{name} must be at least {least}, got {getattr(args, name)}')
    if not args.out.endswith(('.html', '.htm')):
        parser.error(f'--out {args.out}: the name must end with .html')
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    from mmengine.registry import init_default_scope

    from vlpeft.analysis.browse import BrowseError, Browser, chosen_indices, chosen_sets
    from vlpeft.apis.build import meta_model
    from vlpeft.visualization.samples_page import write_samples

    cfg = load_config(args.config, args.cfg_options)
    if cfg.get(f'{args.split}_dataloader') is None:
        there = [split for split in SPLITS if cfg.get(f'{split}_dataloader') is not None]
        raise BrowseError(f'{args.config}: there is no {args.split}_dataloader; there are {", ".join(there)}')
    check_settings(cfg, 'model', f'{args.split}_dataloader')
    init_default_scope(cfg.get('default_scope', 'vlpeft'))
    with quiet_console():
        sets = chosen_sets(cfg.to_dict(), args.split, args.set)
        if args.indices and len(sets) > 1:
            names = '; '.join(entry.name for entry in sets)
            raise BrowseError(f'--indices: of which set? Choose one with --set TASK: {names}')
        browser = Browser(meta_model(cfg), cfg.model)
        shown, broken = [], 0
        for entry in sets:
            indices = chosen_indices(entry, args.number, args.indices, args.seed)
            cards = list(browser.cards(entry, indices, args.repeats, args.seed))
            broken += sum(any(view.error for view in card.views) for card in cards)
            shown.append((entry.name, f'{len(cards)} of {len(entry.dataset):,} samples', cards))
    facts = [('config', args.config), ('seed', str(args.seed))]
    if browser.normalisation:
        facts.append(('normalisation', browser.normalisation))
    if browser.texts.problem:
        facts.append(('tokens are not shown', browser.texts.problem))
    write_samples(args.out, f'What the model sees: {args.split}', facts, shown)
    count = sum(len(cards) for *_, cards in shown)
    if browser.texts.problem:
        print(f'note: tokens are not shown: {browser.texts.problem}')
    print(f'{count} samples of {len(shown)} set{"s" * (len(shown) > 1)}, {broken} cannot be used; page: {args.out}')
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
