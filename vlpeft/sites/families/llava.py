"""Projectors of LLaVA's kind, which lead out of the vision tower into the language model; both have families of their
own.
"""

from .connectors import connects

connects(
    'transformers.LlavaModel',
    'transformers.LlavaNextModel',
    'transformers.LlavaOnevisionModel',
    tower='vision_tower',
    fc1='multi_modal_projector.linear_1',
    fc2='multi_modal_projector.linear_2',
)
connects('transformers.PaliGemmaModel', tower='vision_tower', proj='multi_modal_projector.linear')
