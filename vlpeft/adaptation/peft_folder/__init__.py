"""Folders of Hugging Face PEFT: a LoRA that it wrote is read into ours, and ours is written for it."""

from .reading import read_peft_folder
from .settings import CONFIG, WEIGHTS, is_peft_folder
from .writing import write_peft_folder

__all__ = ['CONFIG', 'WEIGHTS', 'is_peft_folder', 'read_peft_folder', 'write_peft_folder']
