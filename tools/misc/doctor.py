"""Check the installation: libraries, GPU, codecs, Java, cache, tokenizers, disk; and what a config still needs."""

import argparse
import json
import sys

from vlpeft.doctor import examine
from vlpeft.doctor.findings import BROKEN, MISSING, Finding
from vlpeft.engine.messages import run_main
from vlpeft.zoo.folder import ZooError

EPILOG = """exit code: 0 nothing essential is missing or broken, 1 something is, 2 wrong arguments

examples:
  %(prog)s
  %(prog)s uniadapter/blip_msrvtt    # and what is missing for this recipe"""
MARKS = dict(ok='  ok   ', note=' note  ', missing='MISSING', broken='BROKEN ')


def show(finding: Finding) -> None:
    print(f'[{MARKS[finding.level]}] {finding.topic}: {finding.text}', flush=True)


def main(argv: list[str] | None = None) -> int:
    """Print what is found as it is found; returns 1 if something is broken."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', nargs='*', help='configs: files, names of the zoo, or paths below its configs')
    parser.add_argument('--json', action='store_true', help='print a list of {topic, level, text}')
    args = parser.parse_args(argv)
    found = []
    try:
        for finding in examine(args.config):
            found.append(finding)
            if not args.json:
                show(finding)
    except ZooError as error:
        parser.error(str(error))
    broken = sum(finding.level in (BROKEN, MISSING) for finding in found)
    if args.json:
        print(json.dumps([finding._asdict() for finding in found], indent=1))
    else:
        print(f'{broken} missing or broken' if broken else 'nothing essential is missing or broken')
    return int(broken > 0)


if __name__ == '__main__':
    sys.exit(run_main(main))
