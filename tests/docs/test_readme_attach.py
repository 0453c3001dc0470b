"""README's lines for a model of one's own run as they stand."""

import torch
from transformers import OPTConfig, OPTForCausalLM

import vlpeft
from tests.docs.markdown_pages import code_blocks, section
from tests.workspace import ROOT


def opt() -> OPTForCausalLM:
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, word_embed_proj_dim=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=48)
    return OPTForCausalLM(OPTConfig(vocab_size=60, max_position_embeddings=32, **sizes)).eval()


def test_the_lines_for_ones_own_model_run(tmp_path, monkeypatch, capsys):
    (lines,) = code_blocks(section((ROOT / 'README.md').read_text(), 'on-your-own-model'), 'python')
    monkeypatch.chdir(tmp_path)
    scope = dict(model=opt())
    before, training, after = lines.partition('...  # any loop')
    exec(compile(before, 'README.md', 'exec'), scope)
    assert training and "set 'default': VLPET, active, acts at" in capsys.readouterr().out
    adapter, ids = scope['adapter'], torch.arange(12).view(2, 6)
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1.0)
    loss = adapter(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    exec(compile(training + after, 'README.md', 'exec'), scope)
    fresh = opt()
    with torch.no_grad():
        bare = fresh(ids).logits
        vlpeft.load_adapter(fresh, 'my-adapter')
        assert torch.equal(fresh(ids).logits, adapter(ids).logits)
        assert not torch.allclose(fresh(ids).logits, bare)
