"""Files of the baselines in VL-PET's code, on BART, and what they compute: names typed out from its description, values
random, formulas restated on the tensors of the file.
"""

import torch
from torch.nn import functional as F

from tests.tiny_vl import FEATURES, build_vl
from vlpeft.testing.backbones import DEPTH, WIDTH

RANK, BOTTLENECK = 4, 6
# Alpha over rank: a quarter in the release, 32 / 128.
SCALE = 0.25
#: Kronecker products of Compacter; widths of Hyperformer's embeddings, hidden layer and u.
PRODUCTS, EMBEDDING, HIDDEN, PROJECTED = 2, 5, 7, 4
TASKS = dict(vl_pet=('vqa', 'gqa', 'nlvr', 'caption'), vl_pet_video=('tvqa', 'how2qa', 'tvc', 'yc2c'))
# The module whose output the adapter of this name follows.
ADAPTERS = {
    'encoder.layers.{i}.attn_adapter': 'encoder.layers.{i}.self_attn.out_proj',
    'encoder.layers.{i}.ff_adapter': 'encoder.layers.{i}.fc2',
    'decoder.layers.{i}.self_attn_adapter': 'decoder.layers.{i}.self_attn.out_proj',
    'decoder.layers.{i}.enc_attn_adapter': 'decoder.layers.{i}.encoder_attn.out_proj',
    'decoder.layers.{i}.ff_adapter': 'decoder.layers.{i}.fc2',
}
MAPS = [
    f'{attention}.{projection}'
    for attention in (
        'encoder.layers.{i}.self_attn',
        'decoder.layers.{i}.self_attn',
        'decoder.layers.{i}.encoder_attn',
    )
    for projection in ('q_proj', 'v_proj')
]
VISUAL = dict(feat_embedding='feature', absolute_vis_pos_embedding='position', img_order_embedding='image')
# What Hyperformer's networks of an encoder and a decoder generate, and the module whose output each follows.
GENERATED = dict(
    encoder=dict(self_attention='self_attn.out_proj', feed_forward='fc2'),
    decoder=dict(self_attention='self_attn.out_proj', cross_attention='encoder_attn.out_proj', feed_forward='fc2'),
)
#: Methods whose maps some or all tasks have for themselves, and which maps.
OWN = dict(multiple=('down', 'up'), shared_down=('up',), shared_up=('down',))


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float64) * 0.3


def ours(task):
    """What a released task is called here."""
    return dict(nlvr='nlvr2').get(task, task)


def released(method, tasks):
    """A whole file of a method: ``full``, ``adapter``, one of :data:`OWN`, ``compacter``, ``hyperformer``, ``lora``."""
    torch.manual_seed(7)
    state = {f'module.{key}': value.detach() for key, value in build_vl('bart').lm.state_dict().items()}
    state['module.final_logits_bias'] = torch.zeros(1, len(state['module.model.shared.weight'])).double()
    visual = 'module.model.encoder.visual_embedding'
    for name, width in (('feat_embedding', FEATURES), ('absolute_vis_pos_embedding', 5)):
        state[f'{visual}.{name}.0.weight'], state[f'{visual}.{name}.0.bias'] = draw(WIDTH, width), draw(WIDTH)
        state[f'{visual}.{name}.1.weight'], state[f'{visual}.{name}.1.bias'] = 1 + draw(WIDTH), draw(WIDTH)
    state[f'{visual}.img_order_embedding.weight'] = draw(2, WIDTH)
    state[f'{visual}.obj_order_embedding.weight'] = state['module.model.shared.weight']
    if method == 'hyperformer':
        state.update(_hyperformer(tasks))
    elif method == 'lora':
        for i in range(DEPTH):
            for name in MAPS:
                pair = draw(RANK, WIDTH), draw(WIDTH, RANK)
                for task in tasks:
                    place = f'module.model.{name.format(i=i)}'
                    state[f'{place}.lora_As.{task}'], state[f'{place}.lora_Bs.{task}'] = pair
    elif method != 'full':
        for i in range(DEPTH):
            for name in ADAPTERS:
                state.update(_adapters(f'module.model.{name.format(i=i)}', method, tasks))
    return state


def _adapters(place, method, tasks):
    """The adapters of all tasks at a place; what they share is one tensor."""
    state = {}
    for side, (rows, columns) in dict(down=(BOTTLENECK, WIDTH), up=(WIDTH, BOTTLENECK)).items():
        leaves = None
        for task in tasks:
            if leaves is None or side in OWN.get(method, ()):
                leaves = dict(weight=draw(rows, columns), bias=draw(rows))
                if method == 'compacter':
                    n = PRODUCTS
                    leaves = dict(W=draw(n, columns // n, rows // n), b=draw(rows), phm_rule=draw(n, n, n))
            state.update({f'{place}.adapters.{task}.{side}_sampler.{leaf}': value for leaf, value in leaves.items()})
    return state


def _hyperformer(tasks):
    state = {}
    for task in tasks:
        vector = draw(EMBEDDING)
        for owner in ('shared_task_embed', 'encoder.task_embed', 'decoder.task_embed'):
            state[f'module.model.{owner}.task_to_embeddings.{task}'] = vector
    for tower, kinds in GENERATED.items():
        net = f'module.model.{tower}.adapter_layers_hyper_net'
        state[f'{net}.layer_id_embeddings.weight'] = draw(DEPTH, EMBEDDING)
        state[f'{net}.LayerNorm.weight'], state[f'{net}.LayerNorm.bias'] = 1 + draw(PROJECTED), draw(PROJECTED)
        for i, (rows, columns) in {0: (HIDDEN, 2 * EMBEDDING), 2: (PROJECTED, HIDDEN)}.items():
            layer = f'{net}.task_hypernet.task_embeding_generator.{i}'
            state[f'{layer}.weight'], state[f'{layer}.bias'] = draw(rows, columns), draw(rows)
        for kind in kinds:
            for side, outputs in dict(down=BOTTLENECK, up=WIDTH).items():
                for what, count in dict(weight=BOTTLENECK * WIDTH, bias=outputs).items():
                    generator = f'{net}.{kind}_{side}_sampler_hyper_net.{what}_generator.0'
                    state[f'{generator}.weight'], state[f'{generator}.bias'] = draw(count, PROJECTED), draw(count)
    return state


def gelu(x):
    return F.gelu(x, approximate='tanh')


def affine(x, state, name):
    return x @ state[f'{name}.weight'].T + state[f'{name}.bias']


def effects(state, method, task):
    """Path of a module below BART's ``model`` -> the change of its output y for an input x, of a released task."""
    found = {}
    for i in range(DEPTH):
        if method == 'lora':
            for name in MAPS:
                place = f'module.model.{name.format(i=i)}'
                a, b = state[f'{place}.lora_As.{task}'], state[f'{place}.lora_Bs.{task}']
                found[name.format(i=i)] = lambda x, y, a=a, b=b: SCALE * x @ a.T @ b.T
        elif method == 'hyperformer':
            for tower, kinds in GENERATED.items():
                for kind, module in kinds.items():
                    maps = [_generated(state, tower, kind, i, task, side) for side in ('down', 'up')]
                    found[f'{tower}.layers.{i}.{module}'] = lambda x, y, maps=maps: maps[1](gelu(maps[0](y)))
        elif method != 'full':
            for name, module in ADAPTERS.items():
                place = f'module.model.{name.format(i=i)}.adapters.{task}'
                maps = [_map(state, f'{place}.{side}_sampler') for side in ('down', 'up')]
                found[module.format(i=i)] = lambda x, y, maps=maps: maps[1](gelu(maps[0](y)))
    return found


def _map(state, name):
    """The map of an adapter, or of Compacter: x W + b with W the sum of A_i ⊗ B_i."""
    if f'{name}.W' not in state:
        return lambda x: affine(x, state, name)
    weight = sum(torch.kron(a, b) for a, b in zip(state[f'{name}.phm_rule'], state[f'{name}.W']))
    return lambda x: x @ weight + state[f'{name}.b']


def _generated(state, tower, kind, depth, task, side):
    """The map that Hyperformer generates."""
    net = f'module.model.{tower}.adapter_layers_hyper_net'
    of_task = state[f'module.model.shared_task_embed.task_to_embeddings.{task}']
    hidden = torch.cat([of_task, state[f'{net}.layer_id_embeddings.weight'][depth]])
    for i in (0, 2):
        hidden = affine(torch.relu(hidden) if i else hidden, state, f'{net}.task_hypernet.task_embeding_generator.{i}')
    centred = hidden - hidden.mean()
    u = centred / torch.sqrt((centred**2).mean() + 1e-6)
    u = u * state[f'{net}.LayerNorm.weight'] + state[f'{net}.LayerNorm.bias']
    generator = f'{net}.{kind}_{side}_sampler_hyper_net'
    bias = affine(u, state, f'{generator}.bias_generator.0')
    weight = affine(u, state, f'{generator}.weight_generator.0').reshape(len(bias), -1)
    return lambda x: x @ weight.T + bias


def restated(vocabulary, tasks, state, method, task):
    """A model without method that holds the file's other weights, and hooks that compute the method for a task."""
    model = build_vl('bart', vocabulary, tasks=tasks)
    plain = {key.removeprefix('module.'): value for key, value in state.items()}
    with torch.no_grad():
        for name, param in model.lm.named_parameters():
            param.copy_(plain[name])
        for name, param in model.visual_embedding.named_parameters():
            part, _, rest = name.partition('.')
            theirs = next(key for key, own in VISUAL.items() if own == part)
            param.copy_(plain[f'model.encoder.visual_embedding.{theirs}.{rest}'])
    for path, change in effects(state, method, task).items():
        model.lm.model.get_submodule(path).register_forward_hook(
            lambda module, args, y, change=change: y + change(args[0], y)
        )
    return model


def trained_part(state, method):
    """What the released code trains: chosen by names, as it does."""

    def trains(key):
        if 'visual_embedding' in key:
            return 'obj_order' not in key
        if method == 'lora':
            return 'lora_' in key or (key.endswith('.bias') and 'final_logits' not in key)
        return any(part in key for part in ('adapter', 'task_embed', 'layer_norm', 'layernorm'))

    return {key: value for key, value in state.items() if trains(key)}
