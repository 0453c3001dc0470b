"""Holds a conversation about images and videos with a model, in the terminal."""

import argparse
import shlex
import sys
from collections.abc import Iterator

from vlpeft.engine.messages import mistake, run_main, tell

EPILOG = """what is typed is said; a line of its own
  /show FILE …  shows images or videos with what is said next
  /new          begins another conversation
  /end          ends, as Ctrl-D does
examples:
  %(prog)s vlm/lora_qwen2.5-vl-3b_own-chat before.jpg after.jpg \\
      --checkpoint work_dirs/vlm/lora_qwen2.5-vl-3b_own-chat/epoch_1.pth
  %(prog)s models/qwen photo.jpg --checkpoint my-lora
  %(prog)s Qwen/Qwen2.5-VL-3B-Instruct"""
YOU = '> '


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'model',
        help='config of a chat model, a folder or hub name of an image-text-to-text model of transformers, or an '
        'adapter folder that names one',
    )
    parser.add_argument('files', nargs='*', metavar='FILE', help='images and videos that the first question shows')
    parser.add_argument(
        '--checkpoint',
        help='checkpoint file or URL, or adapter folder; "none" loads nothing on top of the base (default: what the '
        'zoo publishes, for a model of transformers none)',
    )
    parser.add_argument('--prompt', help="words of a family without chat template, such as '{question}'")
    parser.add_argument(
        '--max-new-tokens', type=int, metavar='N', help="longest answer (default: the config's, or 256)"
    )
    parser.add_argument('--device', help='default: the GPU if there is one')
    parser.add_argument(
        '--dtype',
        choices=('float32', 'bfloat16', 'float16'),
        help='number format of the weights (default: as the config says)',
    )
    return parser.parse_args(argv)


def lines() -> Iterator[str]:
    """What is typed, without blank lines, up to the end."""
    is_asked = sys.stdin.isatty()
    while True:
        try:
            line = input(YOU if is_asked else '').strip()
        except EOFError:
            return
        if line == '/end':
            return
        if line:
            yield line


def main(argv: list[str] | None = None) -> int:
    """Talk until the end of the input; a turn that fails is told, and the conversation goes on."""
    args = parse_args(argv)
    from vlpeft import ChatInferencer
    from vlpeft.apis.chat_questions import kind_of
    from vlpeft.engine.console import quiet_console

    for path in args.files:
        kind_of(path)
    packing = {} if args.prompt is None else dict(prompt=args.prompt)
    checkpoint = dict(none='base', zoo=None).get(args.checkpoint, args.checkpoint)
    with quiet_console(on_error=True):
        inferencer = ChatInferencer(args.model, checkpoint, args.device, args.dtype, packing=packing)
        chat, shown = inferencer.chat(), args.files
        for line in lines():
            command, _, rest = line.partition(' ')
            if command == '/show':
                shown = [*shown, *shlex.split(rest)]
            elif line == '/new':
                chat, shown = inferencer.chat(), []
            else:
                try:
                    print(chat.say(line, shown or None, max_new_tokens=args.max_new_tokens).answer, flush=True)
                except Exception as error:
                    if mistake(error) is None:
                        raise
                    tell(mistake(error))
                shown = []
    return 0


if __name__ == '__main__':
    sys.exit(run_main(main))
