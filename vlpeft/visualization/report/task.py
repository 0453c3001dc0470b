"""What a section of the report is made from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlpeft.visualization.clip_styles import ClipStyles

from .marks import said

#: Text id and clip id to the weight of each frame, or None.
FrameWeights = Callable[[int, int], Sequence[float] | None]


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
    """

    prefix: str
    rows: Sequence[Mapping[str, Any]]
    metrics: Mapping[str, Any]
    intervals: Mapping[str, Sequence[float]]
    resampled: str
    clips: ClipStyles
    frame_weights: FrameWeights | None = None
    full_weight: float = 1.0

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
        if not gone:
            return ''
        lines = ''.join(f'<li>{said(file)}: {said(why)}</li>' for file, why in list(gone.items())[:20])
        first = f', the first {20} of which are listed' if len(gone) > 20 else ''
        return (
            f'<div class="faults"><b>{len(gone):,} files could not be read{first}; what belongs to them counts in no '
            f'figure.</b><ul>{lines}</ul></div>'
        )


def _weights(weights: Sequence[float], full: float) -> str:
    cells = ''.join(
        f'<li class="{"more" if weight >= 1 else "less"}"'
        f' style="--size:{min(1.0, abs(weight - 1) / full):.3f}"><span>{weight:.3f}</span></li>'
        for weight in weights
    )
    return f'<ol class="weights{" many" * (len(weights) > 10)}" aria-label="weights of the frames">{cells}</ol>'
