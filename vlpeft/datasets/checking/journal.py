"""Results of a check as they come, one JSON line a file, so that a killed check goes on where it was."""

import json
import os
from pathlib import Path


class Journal:
    """Results by key; each holds for a file of one size and time of change.

    Args:
        path: The file of JSON lines; those of an earlier check are taken over. A last line that was cut off is dropped.
    """

    def __init__(self, path: str | Path) -> None:
        self.results: dict[tuple, dict] = {}
        keep = 0
        if os.path.exists(path):
            with open(path, 'rb') as file:
                for line in file:
                    try:
                        entry = json.loads(line)
                        if not line.endswith(b'\n'):
                            break
                        self.results[tuple(entry['key'])] = entry['result']
                    except (ValueError, KeyError, TypeError):
                        break  # what follows a damaged line is checked again
                    keep += len(line)
        self._file = open(path, 'ab')
        self._file.truncate(keep)

    def get(self, key: tuple) -> dict | None:
        """The result of a key; None if there is none. One of a process that died is none: memory may have run out."""
        result = self.results.get(key)
        return None if result is None or any(kind == 'crash' for kind, _ in result['problems']) else result

    def put(self, key: tuple, result: dict) -> None:
        """Keep a result; it is in the file when this returns."""
        self.results[key] = result
        self._file.write(json.dumps(dict(key=key, result=result)).encode() + b'\n')
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
