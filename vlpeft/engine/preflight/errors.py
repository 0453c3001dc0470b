"""How problems of a config are told."""

from collections.abc import Sequence


class ConfigError(ValueError):
    """A config that cannot be run.

    Args:
        where: The config, for the first line.
        problems: One line each, beginning with the dotted key; equal ones are told once.

    Attributes:
        problems: The lines.
    """

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        if len(self.problems) == 1:
            text = f'{where}: {self.problems[0]}'
        else:
            text = f'{where}: {len(self.problems)} problems\n  ' + '\n  '.join(self.problems)
        super().__init__(text)
