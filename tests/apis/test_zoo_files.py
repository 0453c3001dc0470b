"""The metafiles tell the truth about the configs, and OpenMMLab's own reader reads them."""

import pytest
from mmengine.config import Config
from modelindex.load_model_index import load

import vlpeft
from tests.workspace import ROOT
from tools.analysis_tools.count_params import count_model
from vlpeft import bases
from vlpeft.apis import ZooError
from vlpeft.apis.build import load_model_config
from vlpeft.engine.run_config import RunConfig
from vlpeft.zoo import folder, model_index
from vlpeft.zoo.model_index import read_bases, read_zoo

ZOO = read_zoo()
#: Counts by the text of a model: many recipes train the same one.
COUNTS = {}


@pytest.mark.parametrize('name', sorted(ZOO))
def test_parameter_counts(name):
    model = RunConfig.read(ZOO[name].config).model
    text = str(dict(model, base_checkpoint=None))
    if text not in COUNTS:
        COUNTS[text] = count_model(model)
    counts = COUNTS[text]
    assert ZOO[name].metadata['Parameters'] == counts['total']
    assert ZOO[name].metadata['Trainable Parameters'] == counts['trainable']


@pytest.mark.parametrize('name', sorted(ZOO))
def test_bases_are_those_of_the_config(name):
    base = Config.fromfile(ZOO[name].config).model.get('base_checkpoint') or {}
    parts = [base] if 'source' in base else list(base.values())
    named = {name: weights.url for name, weights in read_bases().items()}
    # Names on the hub, whose files lie below them.
    hub = 'https://huggingface.co/'
    named |= {url.removeprefix(hub).partition('/resolve/')[0]: url for url in named.values() if url.startswith(hub)}
    public = {named.get(part['source'], part['source']) for part in parts}
    public = {source for source in public if '://' in source or source in named.values()}
    assert {weights.url for weights in ZOO[name].bases} == public


#: By class of a training set: task, and name of the set by a word in its paths.
SETS = dict(
    MSRVTTRetrieval=('Text-Video Retrieval', {'msrvtt': 'MSR-VTT'}),
    MSVDRetrieval=('Text-Video Retrieval', {'msvd': 'MSVD'}),
    DiDeMoRetrieval=('Text-Video Retrieval', {'didemo': 'DiDeMo'}),
    KarpathyRetrieval=('Text-Image Retrieval', {'coco': 'COCO', 'flickr30k': 'Flickr30K'}),
    VideoQA=('Video Question Answering', {'msrvtt': 'MSRVTT-QA', 'msvd': 'MSVD-QA'}),
    VALUEQuestions=('Video Question Answering', {'tvqa': 'TVQA', 'how2qa': 'How2QA'}),
    VQAv2=('Visual Question Answering', {'vg_qa': 'Visual Genome', 'vqa': 'VQA v2'}),
    GQA=('Visual Question Answering', {'gqa': 'GQA'}),
    NLVR2=('Visual Reasoning', {'nlvr': 'NLVR2'}),
    KarpathyCaption=('Image Captioning', {'coco': 'COCO'}),
    VideoCaption=('Video Captioning', {'msrvtt': 'MSR-VTT'}),
    VALUECaptions=('Video Captioning', {'tvc': 'TVC', 'yc2c': 'YC2C'}),
    AudioCaps=('Audio Captioning', {'audiocaps': 'AudioCaps'}),
    JSONLRetrieval=(
        'Retrieval',
        {
            'own': 'your own',
            'stills': 'drawn stills',
            'clips': 'drawn clips',
            'emoji': 'emoji',
            'stamps': "Tux Paint's stamps",
        },
    ),
    JSONLCaption=(
        'Captioning',
        {'own': 'your own', 'pictures': 'drawn pictures', 'stamps': "Tux Paint's stamps"},
    ),
    JSONLChat=('Conversation', {'own': 'your own'}),
    JSONLQA=(
        'Question Answering',
        {'own': 'your own', 'pictures': 'drawn pictures', 'easy_vqa': 'easy-VQA'},
    ),
)


def training_sets(value):
    """Class and paths of each set of annotations in a loader."""
    if isinstance(value, dict):
        if 'ann_file' in value:
            yield value['type'], f'{value["ann_file"]} {value.get("data_root")}'.lower()
        for key in value.keys() - {'pipeline'}:
            yield from training_sets(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from training_sets(item)


@pytest.mark.parametrize('name', sorted(ZOO))
def test_task_and_data_are_those_of_the_config(name):
    model = ZOO[name]
    tasks, data = set(), set()
    for kind, paths in training_sets(Config.fromfile(model.config).train_dataloader.dataset):
        task, names = SETS[kind]
        tasks.add(task)
        data.add(next(label for word, label in names.items() if word in paths))
    assert set(model.data.split(', ')) == data
    if len(tasks) > 1:
        assert model.task == ('Several (video)' if 'Video Captioning' in tasks else 'Several (image)')
    else:
        assert model.task.endswith(tasks.pop())
    assert model.method


def test_openmmlab_reads_the_index():
    index = load(str(ROOT / 'model-index.yml'))
    index.build_models_with_collections()
    assert sorted(model.name for model in index.models) == vlpeft.list_models()


def test_known_hashes_reach_the_config():
    url = read_bases()['blip_base_capfilt_l'].url
    cfg, _ = load_model_config('uniadapter_blip_msrvtt', dict(base_checkpoint=dict(source=url)))
    assert cfg.model.base_checkpoint.sha256 == read_bases()['blip_base_capfilt_l'].sha256
    parts = dict(_delete_=True, vision=dict(source='mine.pth'), text=dict(source=url))
    cfg, _ = load_model_config('uniadapter_blip_msrvtt', dict(base_checkpoint=parts))
    assert 'sha256' not in cfg.model.base_checkpoint.vision
    assert cfg.model.base_checkpoint.text.sha256 == read_bases()['blip_base_capfilt_l'].sha256


def test_patterns():
    assert vlpeft.list_models() == sorted(ZOO)
    assert vlpeft.list_models('vit-l_m') == vlpeft.list_models('*-l_ms?vtt') == ['uniadapter_blip-vit-l_msrvtt']
    assert vlpeft.list_models('nothing') == []


ENTRY = '- {Name: a, Config: configs/x/a.py, Metadata: {}'


@pytest.mark.parametrize(
    'models, message',
    [
        ('- {Config: configs/x/a.py, Metadata: {}}', "metafile.yml: model 1: no 'Name'"),
        (f'{ENTRY}}}\n{ENTRY}}}', "metafile.yml: model 2: the zoo has another 'a'"),
        (
            f'{ENTRY}, Base: blip_bas}}',
            r"model 1 \(a\): unknown Base 'blip_bas'; configs/base_checkpoints.yml has blip_b",
        ),
        (ENTRY.replace('a.py', 'b.py') + '}', r'model 1 \(a\): there is no config .*b.py'),
    ],
)
def test_faulty_metafiles(tmp_path, monkeypatch, models, message):
    (tmp_path / 'configs/x').mkdir(parents=True)
    (tmp_path / 'configs/x/a.py').touch()
    (tmp_path / 'configs/x/metafile.yml').write_text(f'Models:\n{models}\n')
    for name in ('model-index.yml', 'configs/base_checkpoints.yml'):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for module in (model_index, bases):
        monkeypatch.setattr(module, 'zoo_root', lambda: tmp_path)
    with pytest.raises(ZooError, match=message):
        vlpeft.list_models()


def test_an_incomplete_installation_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, '__file__', str(tmp_path / 'vlpeft/zoo/folder.py'))
    with pytest.raises(ZooError, match='no model-index.yml in .*not installed completely'):
        vlpeft.list_models()
