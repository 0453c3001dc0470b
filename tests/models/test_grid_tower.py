"""A frozen backbone as a source of cells, whatever its output and whatever its checkpoint's names."""

import pytest
import torch
from torch import nn

from tests.tiny import randomise
from tests.towers import ARCH, VISION
from vlpeft.checkpoint import CheckpointError
from vlpeft.models.backbones.grid_tower import GridTower, to_cells

SIDE, PATCH, DIMS = 7, 4, 16
VIT = dict(type='mmpretrain.VisionTransformer', arch=ARCH, img_size=SIDE * PATCH, patch_size=PATCH)
RESNET = dict(type='mmpretrain.ModifiedResNet', depth=50, base_channels=2, num_attn_heads=2, output_dim=8)


def tower(config, **kwargs) -> GridTower:
    made = randomise(GridTower(config, **kwargs))
    for statistic in made.buffers():
        if statistic.is_floating_point():
            statistic.copy_(torch.rand_like(statistic) + 0.5)
    return made


@pytest.fixture(scope='module')
def images():
    return torch.randn(3, 3, SIDE * PATCH, SIDE * PATCH, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize('out_type', ['raw', 'featmap'])
def test_cells_of_a_transformer_are_its_patches(images, out_type):
    grid = tower(dict(VIT, out_type=out_type))
    cells = grid(images)
    tokens = tower(dict(VIT, out_type='raw')).vision(images)[-1]  # CLS first
    assert cells.shape == (3, SIDE * SIDE, DIMS)
    torch.testing.assert_close(cells, tokens[:, 1:])
    assert not cells.requires_grad and not any(param.requires_grad for param in grid.parameters())


def test_pooling_7_to_6_is_a_window_of_2_with_stride_1(images):
    cells = tower(dict(VIT, out_type='raw'))(images)
    pooled = tower(dict(VIT, out_type='raw'), pool=6)(images)
    assert pooled.shape == (3, 36, DIMS)
    for row in range(6):
        for column in range(6):
            window = [cells[:, SIDE * (row + i) + column + j] for i in (0, 1) for j in (0, 1)]
            torch.testing.assert_close(pooled[:, 6 * row + column], torch.stack(window).amax(0))


def test_clips_resnet_gives_the_map_before_its_attention_pooling():
    grid = tower(RESNET)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen = []
    grid.vision.layer4.register_forward_hook(lambda module, args, output: seen.append(output))
    cells = grid(images)
    assert cells.shape == (2, 4, 64)
    torch.testing.assert_close(cells[1, 2], seen[0][1, :, 1, 0])
    assert not [name for name in grid.state_dict() if 'attnpool' in name]


def test_it_stays_in_evaluation_mode():
    grid = nn.Sequential(tower(RESNET))
    grid.train()
    assert grid.training and not any(module.training for module in grid[0].modules())


@pytest.mark.parametrize('prefix', ['', 'backbone.', 'visual.', 'module.vision_backbone.'])
@pytest.mark.parametrize('config', [dict(VIT, out_type='raw'), RESNET], ids=['vit', 'resnet'])
def test_weights_load_under_any_prefix(tmp_path, prefix, config):
    source = tower(config)
    state = {prefix + name: value for name, value in source.vision.state_dict().items()}
    others = {'head.fc.weight': torch.zeros(3), 'logit_scale': torch.ones(())}
    torch.save(dict(state_dict={**state, **others}), tmp_path / 'w.pth')
    grid = GridTower(config)
    grid.load(tmp_path / 'w.pth')
    images = torch.randn(2, 3, 64, 64)[..., : config.get('img_size', 64), : config.get('img_size', 64)]
    torch.testing.assert_close(grid(images), source(images), rtol=0, atol=0)


def test_a_dialect_loads_too_and_half_a_tower_does_not(tmp_path, images):
    source = tower(dict(VIT, out_type='raw'))
    state = {f'vision.{name}': value for name, value in source.vision.state_dict().items()}
    torch.save(dict(state_dict={**state, 'itm_head.fc.weight': torch.zeros(2)}), tmp_path / 'whole.pth')
    grid = GridTower(dict(VIT, out_type='raw'))
    grid.load(tmp_path / 'whole.pth')
    torch.testing.assert_close(grid(images), source(images))
    state = {f'backbone.{name}': value for name, value in source.vision.state_dict().items() if 'ffn' not in name}
    torch.save(dict(state_dict=state), tmp_path / 'half.pth')
    with pytest.raises(CheckpointError, match='half.pth .* leaves .* keys of vision unfilled'):
        grid.load(tmp_path / 'half.pth')


def test_one_vector_is_no_grid(images):
    with pytest.raises(ValueError, match=r"VisionTransformer gives \(3, 16\), no cells.*out_type='raw'"):
        GridTower(VIT)(images)
    beit = GridTower(dict(VISION['beit'], img_size=SIDE * PATCH, patch_size=PATCH))
    assert to_cells(beit.vision(images), beit.vision).shape == (3, SIDE * SIDE, DIMS)
