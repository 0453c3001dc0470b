"""LLaVA's projector, which leads out of the vision tower into the language model; both have families of their own."""

from .connectors import connects

connects(
    'transformers.LlavaModel',
    tower='vision_tower',
    fc1='multi_modal_projector.linear_1',
    fc2='multi_modal_projector.linear_2',
)
