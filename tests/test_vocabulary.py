"""One word for one thing: sizes of our own parts are called width, depth, heads and hidden, as CONTRIBUTING.md says."""

import ast

from tests.workspace import ROOT

# What other libraries call the same sizes; their own configs (`arch=dict(embed_dims=…)`, `d_model=…`) keep these.
SYNONYMS = dict(
    width={'embed_dim', 'embed_dims', 'embedding_dim', 'hidden_size', 'd_model', 'n_embd', 'dim', 'dims', 'channels'},
    depth={'num_layers', 'n_layers', 'n_layer', 'num_blocks', 'num_hidden_layers'},
    heads={'num_heads', 'n_heads', 'n_head', 'nhead', 'num_attention_heads'},
    hidden={'hidden_dim', 'hidden_dims', 'ffn_dim', 'd_ff', 'feedforward_channels', 'intermediate_size', 'mlp_ratio'},
)


def sizes(tree):
    """(class, name) of each constructor argument and each annotated field."""
    for node in ast.walk(tree):
        for member in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(member, ast.FunctionDef) and member.name == '__init__':
                yield from ((node.name, arg.arg) for arg in (*member.args.args, *member.args.kwonlyargs))
            elif isinstance(member, ast.AnnAssign):
                yield node.name, member.target.id


def test_our_parts_use_one_word_for_each_size():
    found = [pair for path in (ROOT / 'vlpeft').rglob('*.py') for pair in sizes(ast.parse(path.read_text()))]
    for owner in ('TimeSformer', 'BlipTextEncoder'):
        assert {(owner, 'width'), (owner, 'depth'), (owner, 'heads')} <= set(found)
    wrong = [
        f'{owner}({name}=…) is called {word}' for owner, name in found for word in SYNONYMS if name in SYNONYMS[word]
    ]
    assert not wrong, '\n'.join(wrong)
