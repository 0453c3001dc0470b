"""What a section of the report is made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vlpeft.visualization.clip_styles import ClipStyles

from .marks import said

#: Text id and clip id to the weight of each frame, or None.
FrameWeights = Callable[[int, int], Sequence[float] | None]

#: Unreadable files that are listed.
FAULTS = 20


@dataclass
class Task:
    """Results of one metric.

    Args:
        prefix: Of the metric, which names the section.
        rows: Predictions with their fields called as in the files of predictions.
        metrics: Its figures, by their names without the prefix.
        intervals: Those that there are, likewise.
        resampled: What was resampled for them.
        clips: Pictures of the files.
        frame_weights: Of frame-aware models. Defaults to None.
        full_weight: Difference from 1 that the longest bar of a frame's weight stands for. Defaults to 1.
        left_out: Files that are in no prediction because they could not be read, and why. Defaults to none.
    """

    prefix: str
    rows: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    intervals: Mapping[str, Sequence[float]]
    resampled: str
    clips: ClipStyles
    frame_weights: FrameWeights | None = None
    full_weight: float = 1.0
    left_out: Mapping[str, str] = field(default_factory=dict)

    def strip(self, file: str, weights: Sequence[float] | None = None) -> str:
        """The frames of a file side by side, with bars below that say how much each counts."""
        count = self.clips.load(file)
        strip = self.clips.strip(file, f'{file}, {count} frame{"s" * (count > 1)}')
        bars = _weights(weights, self.full_weight) if weights is not None and len(weights) == count else ''
        return f'<div class="frames{" still" * (count == 1)}" style="--n:{max(count, 1)}">{strip}{bars}</div>'

    def weights(self, text: int, clip: int | None) -> Sequence[float] | None:
        """Weights of the frames of a clip for a text; None where there are none."""
        return None if self.frame_weights is None or clip is None else self.frame_weights(text, clip)

    def unreadable(self) -> str:
        """Files that were left out, or nothing."""
        gone = {row.get('file', ''): row['unreadable'] for row in self.rows if 'unreadable' in row}
        gone.update(self.left_out)
        if not gone:
            return ''
        lines = ''.join(f'<li>{said(file)}: {said(why)}</li>' for file, why in list(gone.items())[:FAULTS])
        first = f', the first {FAULTS} of which are listed' if len(gone) > FAULTS else ''
        files = 'One file' if len(gone) == 1 else f'{len(gone):,} files'
        told = f'{files} could not be read{first}; what belongs to it counts in no figure.'
        return f'<div class="faults"><b>{told}</b><ul>{lines}</ul></div>'


def _weights(weights: Sequence[float], full: float) -> str:
    cells = ''.join(
        f'<li class="{"more" if weight >= 1 else "less"}"'
        f' style="--size:{min(1.0, abs(weight - 1) / full):.3f}"><span>{weight:.3f}</span></li>'
        for weight in weights
    )
    return f'<ol class="weights{" many" * (len(weights) > 10)}" aria-label="weights of the frames">{cells}</ol>'
