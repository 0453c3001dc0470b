"""Conversations with images and videos: as data, as files have them, as a model reads them, and as a batch."""

from .conversation import ChatError, Conversation, check_turns, media_of, text_of
from .encode import encode
from .join import join
from .layouts import CHAT_KEYS, TURN_KEYS, read_conversation, unread_keys
from .render import render_prompt, render_template

__all__ = [
    'CHAT_KEYS',
    'TURN_KEYS',
    'ChatError',
    'Conversation',
    'check_turns',
    'encode',
    'join',
    'media_of',
    'read_conversation',
    'render_prompt',
    'render_template',
    'text_of',
    'unread_keys',
]
