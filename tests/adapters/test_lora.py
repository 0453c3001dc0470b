"""LoRA equals the same model with changed weights."""

import pytest
import torch

from tests.adapters.test_uniadapter import multimodal_pass
from tests.tiny import WIDTH, build_retriever
from vlpeft.models import count_parameters


@pytest.mark.parametrize(
    'targets',
    [
        dict(),
        dict(kinds=['self_attn'], linears=['q', 'v']),
        dict(towers=['vision'], linears=['k', 'fc1']),
        dict(towers=['text'], kinds=['cross_attn'], linears=['k', 'v', 'o']),
    ],
)
def test_lora_equals_the_merged_weights(targets):
    model = build_retriever(adapter=dict(type='LoRA', rank=3, alpha=6, targets=targets))
    adapted = multimodal_pass(model)
    adapter = model.adapter
    with torch.no_grad(), model.switch.use(None):
        for tower, depth, sublayer, role, site in adapter.targets.linears(model.towers, 'LoRA'):
            unit = adapter.layers[f'{tower.name}_{depth}_{sublayer.kind}_{role}']
            weight = tower.module.get_submodule(site.path).weight
            rows = slice(None) if site.span is None else slice(*site.span)
            weight[rows] += 2 * unit.up.weight @ unit.down.weight
        torch.testing.assert_close(multimodal_pass(model), adapted, rtol=1e-8, atol=1e-10)


def test_lora_starts_at_the_base_and_counts_by_tower():
    from tests.tiny import retriever_config
    from vlpeft.registry import MODELS

    config = retriever_config(adapter=dict(type='LoRA', rank=3, targets=dict(kinds=['self_attn'], linears=['q', 'v'])))
    model = MODELS.build(config).double()
    model.eval()
    adapted = multimodal_pass(model)
    with model.switch.use(None):
        assert torch.equal(multimodal_pass(model), adapted)
    counts = count_parameters(model)
    assert counts['by_role']['adapter'] == 2 * 2 * 2 * 3 * 2 * WIDTH
    bare = count_parameters(build_retriever())['by_tower']
    for tower in ('vision', 'text'):
        assert counts['by_tower'][tower] - bare[tower] == 384
