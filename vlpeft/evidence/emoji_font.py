"""Pictures of emoji out of a font of bitmaps."""

import io
from pathlib import Path

from PIL import Image

from .pictures import on_ground


class EmojiFont:
    """Noto Color Emoji: bitmaps in the table CBDT, found through ``cmap`` and, for sequences, through ligatures.

    Args:
        path: The ``.ttf`` file.
    """

    def __init__(self, path: Path) -> None:
        from fontTools.ttLib import TTFont

        font = TTFont(path)
        self.names = font.getBestCmap()
        self.bitmaps = font['CBDT'].strikeData[0]
        self.ligatures: dict[tuple[str, ...], str] = {}
        for lookup in font['GSUB'].table.LookupList.Lookup:
            for table in lookup.SubTable if lookup.LookupType == 4 else ():
                for first, entries in table.ligatures.items():
                    self.ligatures.update({(first, *entry.Component): entry.LigGlyph for entry in entries})

    def draw(self, text: str) -> Image.Image | None:
        """The picture of an emoji, RGB on white; None if the font has none."""
        glyphs = tuple(self.names.get(ord(sign), '') for sign in text)
        glyph = glyphs[0] if len(glyphs) == 1 else self.ligatures.get(glyphs)
        if glyph not in self.bitmaps:
            return None
        return on_ground(Image.open(io.BytesIO(self.bitmaps[glyph].imageData)))
