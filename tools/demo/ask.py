"""Answers a question about images or videos."""

import sys
from collections.abc import Sequence
from typing import Any

from vlpeft.apis.command_line import adapters_of, find_model, make_parser, run
from vlpeft.engine.messages import run_main

USAGE = '%(prog)s [CONFIG CHECKPOINT] FILE [FILE ...] "QUESTION" [options]'
DESCRIPTION = """Answers a question about each file, as the test of a config does.

  CONFIG      of a model that answers questions: a file, a name of the zoo, or a path below its configs; or a folder of
              an image-text-to-text model of transformers
  CHECKPOINT  file or URL; "zoo" takes the published one, "none" loads nothing on top of the base; with a folder of
              transformers an adapter folder
  FILE        images or videos; of a folder all below it, of a pattern in quotes ('*.jpg') what it fits
  QUESTION    the last argument, in quotes

Without CONFIG and CHECKPOINT (or --model and --checkpoint) the model of tools/quickstart.sh questions is taken."""
EPILOG = """examples:
  %(prog)s data/quickstart/pictures/images/test_0000.png 'what colour is the background?'
  %(prog)s quickstart_questions_epalm work_dirs/quickstart/questions_epalm/epoch_4.pth \\
      'holiday/*.jpg' 'how many circles are there?' --scores --off
exit code: 0; 1 if a file could not be used (the others are answered) or something else is wrong"""


def main(argv: list[str] | None = None) -> int:
    """Ask, and print the answers."""
    args = make_parser(USAGE, DESCRIPTION, EPILOG).parse_args(argv)
    config, checkpoint, words = find_model(args, 'questions', 'questions_epalm', least=2)
    adapters, (*named, question) = adapters_of(args), words
    if not question.strip():
        args.fail('the question is empty')
    from vlpeft import ChatInferencer, VQAInferencer
    from vlpeft.apis.chat_model import is_chat_model
    from vlpeft.apis.vqa_inferencer import Answer
    from vlpeft.engine.console import quiet_console

    with quiet_console(on_error=True):
        kind = ChatInferencer if is_chat_model(config) else VQAInferencer
        inferencer = kind(config, checkpoint, args.device, args.dtype, adapters)

        def ask(files: Sequence[str], **options: Any) -> list[Answer]:
            found = inferencer(list(files), [question], **options)
            return [Answer(file, *one[1:]) for file, one in zip(files, found)]

        return run(args, inferencer, named, ask)


if __name__ == '__main__':
    sys.exit(run_main(main))
