"""No file runs code, reads what lies elsewhere, or touches what it is not read for; every refusal is one line."""

import json
import os
import pickle
import runpy
import zipfile
from collections import Counter, defaultdict
from contextlib import suppress
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader

import vlpeft  # noqa: F401
from tests.faults.malicious import CONTAINERS, PAYLOADS, WayIn, malicious_files, metadata_of, snapshot, write
from vlpeft.apis.publishing.publish import publish
from vlpeft.apis.publishing.run import read_run
from vlpeft.apis.retrieval_index import IndexMismatchError, RetrievalIndex
from vlpeft.checkpoint import Checkpoint, CheckpointError
from vlpeft.checkpoint.files import read_checkpoint, write_checkpoint
from vlpeft.checkpoint.load import load_into
from vlpeft.checkpoint.scheme import SCHEME
from vlpeft.checkpoint.shards import shard_names
from vlpeft.datasets.annotations import AnnotationError, locate
from vlpeft.datasets.msvd import MSVDRetrieval
from vlpeft.datasets.readers import ClipError, HDF5Reader, NPZReader, PackedHDF5Reader
from vlpeft.datasets.safe_pickle import read_pickle
from vlpeft.engine.work_folder import newest_checkpoint
from vlpeft.zoo.model_index import ZooError

TORCH = ('.pth', '.pt', '.bin')
CHECKPOINTS = (*TORCH, '.safetensors', '.npz')
ROOT = Path(__file__).parents[2]
TOOLS = {'convert_checkpoint': runpy.run_path(str(ROOT / 'tools/model_converters/convert_checkpoint.py'))}


def msvd(path: Path):
    (path.parent / 'videos').mkdir(exist_ok=True)
    for split in ('train', 'val', 'test'):
        (path.parent / f'{split}_list.txt').write_text('a\n')
    return MSVDRetrieval(ann_file=str(path), split='test')


def resume_auto(path: Path):
    """What ``--resume`` finds; a file that cannot be read ends it with a message."""
    return newest_checkpoint(path.parent)


# A further way in is a line here.
WAYS_IN = [
    WayIn('read_checkpoint', read_checkpoint, CHECKPOINTS, (CheckpointError,)),
    WayIn(
        'load_into (base_checkpoint, get_model)',
        lambda path: load_into(torch.nn.Linear(2, 1), Checkpoint.read(path)),
        CHECKPOINTS,
        (CheckpointError,),
    ),
    WayIn(
        'load_from', lambda path: CheckpointLoader.load_checkpoint(f'{SCHEME}{path}'), CHECKPOINTS, (CheckpointError,)
    ),
    WayIn(
        "MMEngine's loader",
        lambda path: CheckpointLoader.load_checkpoint(str(path)),
        TORCH,
        (pickle.UnpicklingError, RuntimeError),
    ),
    WayIn('--resume auto', resume_auto, ('.pth',), (SystemExit, CheckpointError)),
    WayIn(
        'publish_model',
        lambda path: publish(path, path.parent / 'published.pth', torch.nn.Linear(2, 1)),
        CHECKPOINTS,
        (CheckpointError,),
    ),
    WayIn(
        'publish_model, the record of the run', lambda path: read_run(path, None, {}), CHECKPOINTS, (CheckpointError,)
    ),
    WayIn(
        'convert_checkpoint',
        lambda path: TOOLS['convert_checkpoint']['gather'](str(path), torch.nn.Linear(2, 1), None, None),
        CHECKPOINTS,
        (CheckpointError,),
    ),
    WayIn(
        'retrieval index',
        lambda path: RetrievalIndex({}).load(path),
        ('.safetensors',),
        (CheckpointError, IndexMismatchError),
    ),
    WayIn('NPZReader', lambda path: NPZReader(str(path.parent)).read(path.stem), ('.npz',), (ClipError,)),
    WayIn('HDF5Reader', lambda path: HDF5Reader(str(path.parent)).read(path.stem), ('.h5',), (ClipError,)),
    WayIn(
        'PackedHDF5Reader (feature cache)', lambda path: PackedHDF5Reader(str(path)).read('a'), ('.h5',), (ClipError,)
    ),
    WayIn('read_pickle', read_pickle, ('.pkl',), (AnnotationError,)),
    WayIn('MSVD', msvd, ('.pkl',), (AnnotationError,)),
]


def try_way(way: WayIn, path: Path, canary: Path) -> str:
    """'refused', 'harmless', 'executed', or what is wrong with the error."""
    try:
        way.open(path)
        outcome = 'harmless'
    except way.errors as error:
        text = str(error)
        clear = way.name == "MMEngine's loader" or '\n' not in text and path.stem in text and len(text) < 1000
        outcome = 'refused' if clear else f'unclear: {text[:300]}'
    except Exception as error:
        outcome = f'uncaught {type(error).__name__}: {error}'
    return 'executed' if canary.exists() else outcome


def try_all(files: list, tmp_path: Path) -> dict[str, Counter]:
    table, wrong = defaultdict(Counter), []
    outside = tmp_path / 'outside'
    outside.mkdir()
    (outside / 'precious.pth').write_bytes(b'precious')
    before = snapshot(outside)
    for number, (payload, wrap, container, suffix) in enumerate(files):
        folder, canary = tmp_path / str(number), tmp_path / f'canary{number}'
        folder.mkdir()
        path = write(folder, canary, payload, wrap, container, suffix)
        for way in WAYS_IN:
            if suffix in way.suffixes:
                outcome = try_way(way, path, canary)
                table[way.name][outcome.split()[0].strip(':')] += 1
                if outcome not in ('refused', 'harmless'):
                    wrong.append((way.name, payload, wrap, container, suffix, outcome))
    assert not wrong, '\n'.join(map(str, wrong[:10]))
    assert snapshot(outside) == before
    return table


def show(table: dict[str, Counter], capsys) -> None:
    with capsys.disabled():
        print(f'\n{"way in":42} refused harmless executed')
        for name, counts in table.items():
            print(f'{name:42} {counts["refused"]:7} {counts["harmless"]:8} {counts["executed"]:8}')


@pytest.mark.parametrize('payload', PAYLOADS)
def test_every_payload_is_live(tmp_path, payload):
    """An unsafe reader runs it, so the tests below show something."""
    canary = tmp_path / 'canary'
    CONTAINERS['pickle'][1](PAYLOADS[payload](tmp_path, canary), tmp_path / 'a.pkl')
    with suppress(Exception):  # of what is not to be had after it
        pickle.loads((tmp_path / 'a.pkl').read_bytes())
    assert canary.exists()


def test_all_malicious_files(tmp_path, capsys):
    table = try_all(malicious_files(), tmp_path)
    show(table, capsys)
    assert set(table) == {way.name for way in WAYS_IN}
    assert all(counts['refused'] == sum(counts.values()) for counts in table.values())


# Formats of their own.


def hdf5_of(kind: str, path: Path, secret: Path) -> None:
    """A file whose features are, in some way, those of the file ``secret``."""
    with h5py.File(secret, 'w') as file:
        file['features'] = np.ones((2, 3), np.float32)
    with h5py.File(path, 'w') as file:
        group = file.create_group(path.stem)
        for place in (group, file):
            if kind == 'external link':
                place['features'] = h5py.ExternalLink(str(secret), '/features')
            elif kind == 'soft link':
                if place is group:
                    file['else'] = np.ones((2, 3), np.float32)
                place['features'] = h5py.SoftLink('/else')
            elif kind == 'virtual':
                layout = h5py.VirtualLayout((2, 3), np.float32)
                layout[:] = h5py.VirtualSource(str(secret), 'features', (2, 3))
                place.create_virtual_dataset('features', layout)
            else:
                place.create_dataset('features', (2, 3), np.float32, external=[(str(secret), 0, 24)])
        file['names'], file['done'] = np.array([b'file', b'b']), np.ones(2, np.uint8)


@pytest.mark.parametrize('kind', ['external link', 'soft link', 'virtual', 'external storage'])
def test_features_of_other_files_are_not_read(tmp_path, kind):
    path = tmp_path / 'root/file.h5'
    path.parent.mkdir()
    hdf5_of(kind, path, tmp_path / 'secret.h5' if kind != 'external storage' else tmp_path / 'secret.bin')
    for reader in (HDF5Reader(str(path.parent)), PackedHDF5Reader(str(path))):
        with pytest.raises(ClipError, match='link to elsewhere|in other files') as error:
            reader.read('file')
        assert '\n' not in str(error.value) and str(path) in str(error.value)


def test_a_group_behind_an_external_link_is_not_entered(tmp_path):
    root = tmp_path / 'root'
    root.mkdir()
    with h5py.File(tmp_path / 'secret.h5', 'w') as file:
        file['g/features'] = np.ones((2, 3), np.float32)
    with h5py.File(root / 'file.h5', 'w') as file:
        file['file'] = h5py.ExternalLink(str(tmp_path / 'secret.h5'), '/g')
    with pytest.raises(ClipError, match='link to elsewhere'):
        HDF5Reader(str(root)).read('file')


@pytest.mark.parametrize('name', ['../secret', '/etc/passwd', 'a/../../secret'])
@pytest.mark.parametrize('kind', [HDF5Reader, NPZReader])
def test_names_are_no_paths(tmp_path, kind, name):
    with pytest.raises(ClipError, match='is a path, expected the name'):
        kind(str(tmp_path)).read(name)


@pytest.mark.parametrize(
    'path',
    ['../secret.mp4', '/etc/passwd', 'a/../../secret.mp4', 'file:///etc/passwd', 'http://127.0.0.1/a.mp4', 'a\0b.mp4'],
)
def test_annotations_stay_in_the_data_root(tmp_path, path):
    with pytest.raises(AnnotationError, match='a.json:3') as error:
        locate(path, str(tmp_path / 'videos'), (str(tmp_path / 'videos'),), 'a.json:3')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'name',
    [
        '../x.pth',
        '/etc/passwd',
        '..',
        '.',
        '',
        'a/b.pth',
        'file:x',
        'http://h/x',
        'x?y=1',
        'x#y',
        'a.index.json',
        'a\nb',
        '%2e%2e%2fx',
        7,
        None,
        ['x'],
    ],
)
def test_shards_stand_beside_their_index(tmp_path, name):
    index = tmp_path / 'm.bin.index.json'
    index.write_text(json.dumps(dict(weight_map=dict(w=name))))
    if name == 7:  # the file named 7
        assert shard_names(index) == ['7']
        return
    if name is None:
        assert shard_names(index) == ['None']
        return
    with pytest.raises(CheckpointError, match='beside the index'):
        read_checkpoint(index)


@pytest.mark.parametrize('suffix', ['.pth', '.npz'])
def test_archives_that_unpack_to_far_more_are_refused_at_once(tmp_path, suffix):
    path = tmp_path / f'bomb{suffix}'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        with archive.open('w.npy' if suffix == '.npz' else 'archive/data.pkl', 'w', force_zip64=True) as member:
            for _ in range(32):
                member.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 16
    with pytest.raises(CheckpointError, match='claim to unpack to 33,554,432'):
        read_checkpoint(path)


def test_an_array_that_claims_more_than_there_is_is_refused(tmp_path):
    path = tmp_path / 'claims.npz'
    with zipfile.ZipFile(path, 'w') as archive:
        header = str(dict(descr='<f8', fortran_order=False, shape=(1 << 50,))).encode()
        archive.writestr('w.npy', b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header)
    with pytest.raises(CheckpointError, match='claims.npz') as error:
        read_checkpoint(path)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(
    'meta',
    [
        [],
        'text',
        7,
        None,
        dict(identity=None, files=None),
        dict(identity={}, files=[7]),
        dict(identity={}, files=[dict(path='/etc/passwd')]),
        dict(
            identity=dict.fromkeys(('config', 'checkpoint', 'base')),
            files=[dict(path='/etc/passwd', media='image', mtime_ns=0, size=0)],
        ),
    ],
)
def test_an_index_with_any_metadata_is_refused_in_one_line(tmp_path, meta):
    path = metadata_of(tmp_path / 'index.safetensors', meta)
    index = RetrievalIndex(dict.fromkeys(('config', 'checkpoint', 'base')))
    with pytest.raises((CheckpointError, IndexMismatchError), match='index.safetensors') as error:
        index.load(path)
    assert '\n' not in str(error.value) and not index.entries


def test_a_tokenizer_or_geometry_with_a_program_of_its_own_is_not_run(tmp_path, monkeypatch):
    """Not even if whoever sits there answers transformers' question, which must not come, with yes."""
    from vlpeft.models.backbones.lm_config import lm_config
    from vlpeft.models.tokenizer import CausalTokenizer

    folder, canary = tmp_path / 'model', tmp_path / 'canary'
    folder.mkdir()
    (folder / 'evil.py').write_text(f'import os\nos.mkdir({str(canary)!r})\n')
    (folder / 'tokenizer.json').write_text('{}')
    auto = dict(AutoConfig='evil.Config', AutoTokenizer=['evil.Tokenizer', None])
    (folder / 'config.json').write_text(json.dumps(dict(model_type='evil', auto_map=auto)))
    (folder / 'tokenizer_config.json').write_text(json.dumps(dict(tokenizer_class='EvilTokenizer', auto_map=auto)))
    monkeypatch.setattr('builtins.input', lambda *_: 'y')
    with pytest.raises(ValueError, match='custom code|trust_remote_code'):
        lm_config(str(folder), 10, ('opt',))
    with pytest.raises(ValueError, match='custom code|trust_remote_code'):
        CausalTokenizer(str(folder), 10, 10).load()
    assert not canary.exists()


@pytest.mark.parametrize(
    'text, problem',
    [
        ("Import: !!python/object/apply:os.mkdir ['{canary}']\n", 'model-index.yml:1: not plain YAML'),
        ('Import: [configs/m.yml]\n', "Config '../evil.py' lies outside the zoo"),
    ],
)
def test_a_metafile_runs_nothing(tmp_path, monkeypatch, text, problem):
    from vlpeft import bases
    from vlpeft.zoo import config_names, model_index

    zoo, canary = tmp_path / 'zoo', tmp_path / 'canary'
    (zoo / 'configs').mkdir(parents=True)
    for module in (config_names, model_index, bases):
        monkeypatch.setattr(module, 'zoo_root', lambda: zoo)
    (tmp_path / 'evil.py').write_text(f'_base_ = []\n__import__("os").mkdir({str(canary)!r})\n')
    (zoo / 'model-index.yml').write_text(text.replace('{canary}', str(canary)))
    (zoo / 'configs/base_checkpoints.yml').write_text('{}')
    (zoo / 'configs/m.yml').write_text('Models: [{Name: evil, Config: ../evil.py, Metadata: {}}]')
    with pytest.raises(ZooError, match=problem):
        vlpeft.get_model('evil')
    assert not canary.exists()


@pytest.mark.parametrize('hostile', ['config', 'best', 'both'])
def test_resuming_a_hostile_checkpoint_runs_and_removes_nothing(tmp_path, hostile):
    """The checkpoint of a real run, with a program as its config and the file of another as its best."""
    from tests.toy_tasks import toy_config, write_sets

    write_sets(tmp_path, vqa=4, gqa=4)
    hooks = dict(checkpoint=dict(type='ToyCheckpointHook', interval=1, save_best='auto', rule='less', max_keep_ckpts=1))
    Runner.from_cfg(toy_config(tmp_path, 'first', epochs=1, default_hooks=hooks)).train()
    outside, canary = tmp_path / 'outside', tmp_path / 'canary'
    outside.mkdir()
    write_checkpoint(dict(precious=torch.ones(1)), outside / 'best_x.pth')
    before = snapshot(outside)
    path = tmp_path / 'first/epoch_1.pth'
    checkpoint = read_checkpoint(path)
    program = f'__import__("os").mkdir({str(canary)!r})\n'
    if hostile != 'best':
        checkpoint['meta'].update(config=program, cfg=program)
    if hostile != 'config':
        info = checkpoint['message_hub']['runtime_info']
        info.update(
            best_ckpt=str(outside / 'best_x.pth'),
            keep_ckpt_ids=['../outside/best_x', 0],
            best_score=1e9,
            last_ckpt=str(outside / 'best_x.pth'),
            within='../outside/best_x',
        )
    write_checkpoint(checkpoint, path)
    config = toy_config(tmp_path, 'first', epochs=2, default_hooks=hooks, load_from=f'{SCHEME}{path}', resume=True)
    config.experiment_name = f'{tmp_path}/again'
    Runner.from_cfg(config).train()
    assert not canary.exists() and snapshot(outside) == before
    assert (tmp_path / 'first/epoch_2.pth').is_file()


def test_links_out_of_a_work_folder_are_left_alone(tmp_path):
    """``newest_checkpoint`` follows neither a pointer nor a manifest that leads elsewhere."""
    outside, work = tmp_path / 'outside', tmp_path / 'work'
    outside.mkdir(), work.mkdir()
    state = dict(state_dict=dict(w=torch.ones(2)), optimizer=dict(state={}), meta=dict(iter=1, epoch=1, saved_at=1.0))
    write_checkpoint(state, outside / 'epoch_9.pth')
    write_checkpoint(state, work / 'epoch_1.pth')
    (work / 'last_checkpoint').write_text(os.path.join('..', 'outside', 'epoch_9.pth'))
    assert newest_checkpoint(work) == work / 'epoch_1.pth'
