"""Methods on a base in 8 or 4 bits of bitsandbytes, which newer releases compute on CPUs too."""

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, OPTConfig

import vlpeft
from tests.tiny import randomise
from vlpeft.sites import SiteError

bitsandbytes = pytest.importorskip('bitsandbytes', reason='bitsandbytes is not installed')
pytestmark = pytest.mark.filterwarnings('ignore:MatMul8bitLt')

KINDS = dict(
    int8=BitsAndBytesConfig(load_in_8bit=True),
    nf4=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_compute_dtype=torch.float32),
)
GEOMETRY = dict(hidden_size=32, ffn_dim=64, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=32)
IDS = torch.randint(3, 60, (4, 8), generator=torch.Generator().manual_seed(0))
LORA = dict(type='LoRA', rank=4, targets={})


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A model of random weights, as a user's lies on the disk."""
    torch.manual_seed(0)
    config = OPTConfig(vocab_size=64, word_embed_proj_dim=32, dropout=0.0, **GEOMETRY)
    path = tmp_path_factory.mktemp('opt')
    randomise(AutoModelForCausalLM.from_config(config)).save_pretrained(path)
    return path


def quantised(folder, kind):
    options = dict(quantization_config=KINDS[kind], device_map='cpu', dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(folder, **options).requires_grad_(False).train()


def run(model):
    return model(input_ids=IDS, labels=IDS)


@pytest.mark.parametrize('kind', KINDS)
def test_a_quantised_base_is_adapted_saved_and_restored(kind, folder, tmp_path):
    model = quantised(folder, kind)
    bare = run(model).logits
    assert sum(isinstance(part, (bitsandbytes.nn.Linear8bitLt, bitsandbytes.nn.Linear4bit)) for part in model.modules())
    # A tensor that trains and gets no gradient is an error.
    adapter = vlpeft.attach(model, LORA, strict=True)
    assert torch.equal(run(model).logits, bare)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    losses = []
    for _ in range(20):
        loss = run(adapter).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    trained = run(model).logits
    adapter.save(tmp_path)
    with pytest.raises(SiteError, match='is a quantised map'):
        adapter.merge()
    adapter.detach()
    assert torch.equal(run(model).logits, bare)
    vlpeft.load_adapter(model, tmp_path)
    assert torch.equal(run(model).logits, trained)


def test_four_bits_compute_what_their_weights_do_as_numbers(folder):
    """Outputs and gradients are those of LoRA on plain maps that hold the dequantised weights."""
    model = quantised(folder, 'nf4')
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    for name, part in model.named_modules():
        if isinstance(part, bitsandbytes.nn.Linear4bit):
            weight = bitsandbytes.functional.dequantize_4bit(part.weight, part.weight.quant_state)
            same = plain.get_submodule(name)
            assert type(same) is nn.Linear and not torch.equal(same.weight, weight)
            same.weight.data = weight.float()
    adapters = [vlpeft.attach(of, LORA) for of in (model, plain)]
    randomise(adapters[0].sets['default'])
    adapters[1].load_state_dict(adapters[0].state_dict())
    found = [run(adapter) for adapter in adapters]
    torch.testing.assert_close(found[0].logits, found[1].logits, rtol=1e-4, atol=1e-5)
    for out in found:
        out.loss.backward()
    for (name, ours), theirs in zip(adapters[0].named_parameters(), adapters[1].parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=name)
