"""What the tools of stored features share: the report on what failed, and the exit code."""

from collections.abc import Mapping

EXIT_CODES = 'Exit code: 0 everything is stored; 1 something could not be read and is left out; 2 wrong arguments.'
SHOWN = 10


def report(stored: int, before: int, where: object, failures: Mapping[str, str]) -> int:
    """Print the outcome.

    Args:
        stored: Images that were stored now.
        before: Images that had been stored before.
        where: What they are stored in.
        failures: Reasons by path or name.

    Returns:
        Exit code.
    """
    print(f'{where}: {stored:,} stored, {before:,} were there already, {len(failures):,} failed')
    for name, reason in list(failures.items())[:SHOWN]:
        print(f'  {name}: {reason}')
    if len(failures) > SHOWN:
        print(f'  … and {len(failures) - SHOWN:,} more')
    return 1 if failures else 0
