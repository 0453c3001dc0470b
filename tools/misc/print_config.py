"""Print a config as the runner sees it: bases merged, overrides applied."""

import argparse

from vlpeft.engine.launch import add_config_arguments, load_config


def main(argv: list[str] | None = None) -> None:
    """Print the resolved config."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_config_arguments(parser)
    args = parser.parse_args(argv)
    print(load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    main()
