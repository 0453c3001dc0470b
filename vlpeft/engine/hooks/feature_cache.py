"""Fills a cache of the frozen encoder's vectors before the first pass, and lets data sets serve it from then on."""

import hashlib
from collections.abc import Iterable
from contextlib import closing, nullcontext

import torch
from mmengine.dist import all_gather_object, barrier, get_dist_info, is_main_process
from mmengine.hooks import Hook
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from vlpeft.datasets.feature_cache import CachedVectors, Sources, clip_sets, describe
from vlpeft.datasets.vector_store import VectorStore
from vlpeft.engine.progress import Steps
from vlpeft.engine.task_model import task_model
from vlpeft.registry import HOOKS, MODELS


def weights_hash(module: nn.Module) -> str:
    """sha256 of all parameters and buffers, names included."""
    digest = hashlib.sha256()
    for name, value in sorted([*module.named_parameters(), *module.named_buffers()]):
        digest.update(f'{name} {tuple(value.shape)} {value.dtype}'.encode())
        # A copy: memory that NumPy has seen cannot be freed by a sharded model.
        digest.update(value.detach().cpu().flatten().clone().view(torch.uint8).numpy())
    return digest.hexdigest()


@HOOKS.register_module()
class FeatureCacheHook(Hook):
    """Computes the vectors of every file once; later epochs and runs neither read files nor run the encoder.

    For models with a frozen ``encoder`` whose ``perceive`` maps inputs to vectors (B, K, Dv) and takes such vectors in
    place of inputs (:class:`PerceptualLM`). Each process computes its share. A killed run goes on where it was.

    Args:
        folder: Of the cache; runs may share it.
        views: Of each training file, drawn by the pipeline's random steps with fixed seeds; every access draws one.
            Defaults to None: the pipeline draws nothing.
        batch_size: Files in a pass of the encoder. Defaults to 64.

    Raises:
        ValueError: On use: the encoder trains or draws at random, ``views`` < 1, or a set cannot be cached.
    """

    # Before FreezeReportHook and all that look at the loaders.
    priority = 'HIGH'

    def __init__(self, folder: str, views: int | None = None, batch_size: int = 64) -> None:
        if views is not None and views < 1:
            raise ValueError(f'views={views}: choose at least 1, or None')
        self.folder, self.views, self.batch_size = folder, views, batch_size
        self.preprocess: nn.Module | None = None

    def before_train(self, runner) -> None:
        loaders = [(runner.train_dataloader, self.views)]
        if runner.val_loop is not None:
            loaders.append((runner.val_dataloader, None))
        self._cache(runner, loaders)

    def before_test(self, runner) -> None:
        self._cache(runner, [(runner.test_dataloader, None)])

    def _cache(self, runner, loaders: list) -> None:
        model = task_model(runner)
        if model.encoder is None or not model.levels:
            raise ValueError(
                'FeatureCacheHook keeps class tokens of an encoder, and this model asks for none; remove it'
            )
        if any(param.requires_grad for param in model.encoder.parameters()):
            raise ValueError('the encoder trains, so its vectors cannot be cached; remove FeatureCacheHook')
        if model.released_dropout:
            raise ValueError('released_dropout=True draws anew in the encoder; FeatureCacheHook needs it False')
        self.preprocess = self.preprocess or model.data_preprocessor
        training = model.training
        runner.model.eval()
        with torch.no_grad(), self._precision(runner):
            weights = weights_hash(model.encoder)
            for loader, views in loaders:
                parts = loader.values() if isinstance(loader, dict) else [loader]
                for part in parts:
                    for dataset in clip_sets(part.dataset):
                        self._cache_set(runner, model, Sources(dataset, views), weights, part.num_workers)
        runner.model.train(training)
        device = next(model.parameters()).device
        model.data_preprocessor = MODELS.build(dict(type='FeatureDataPreprocessor')).to(device)

    @staticmethod
    def _precision(runner):
        wrapper = getattr(runner, 'optim_wrapper', None)
        return wrapper.optim_context(runner.model) if hasattr(wrapper, 'optim_context') else nullcontext()

    def _cache_set(self, runner, model, sources: Sources, weights: str, workers: int) -> None:
        levels, encoder, device = model.levels, model.encoder, next(model.parameters()).device
        precision = next(encoder.parameters()).dtype
        if torch.is_autocast_enabled(device.type):
            precision = torch.get_autocast_dtype(device.type)
        made_by = dict(
            encoder=describe(runner.cfg.model['encoder']),
            weights=weights,
            levels=levels,
            normalisation=describe(self.preprocess),
            transforms=describe(sources.steps),
            views=sources.views,
            precision=str(precision),
        )
        store = VectorStore(self.folder, made_by, (levels, model.towers['encoder'].width))
        todo = store.missing(sources.names.values())
        self._tell(runner, sources, store, todo)
        barrier()
        rank, world = get_dist_info()
        reasons = {}
        if mine := todo[rank::world]:
            reasons = self._fill(model, sources, store, mine, rank, workers)
        everyone = all_gather_object(reasons)
        store.refresh()
        reasons = {name: reason for part in everyone for name, reason in part.items()}
        CachedVectors(sources, store, reasons).serve(sources)

    def _fill(self, model, sources: Sources, store: VectorStore, names: list, rank: int, workers: int) -> dict:
        """Computes and stores rows; why some cannot be."""
        wanted = set(names)
        chosen = [
            number for number, (source, view, _) in enumerate(sources.rows) if sources.names[source, view] in wanted
        ]
        loader = DataLoader(Subset(sources, chosen), self.batch_size, num_workers=workers, collate_fn=list)
        reasons = {}
        with closing(store.writer(names, rank)) as writer, Steps('feature cache', len(names)) as steps:
            for batch in loader:
                reasons.update({name: value for name, value in batch if isinstance(value, str)})
                good = {name: value for name, value in batch if isinstance(value, Tensor)}
                if good:
                    inputs = self.preprocess(dict(inputs=torch.stack(list(good.values()))))['inputs']
                    writer.write(list(good), model.perceive(inputs).float().cpu().numpy())
                steps.step(len(batch))
        return reasons

    @staticmethod
    def _tell(runner, sources: Sources, store: VectorStore, todo: Iterable[str]) -> None:
        if not is_main_process():
            return
        runner.logger.info(
            f'feature cache {store.folder}: {len(sources) - len(todo):,} of {len(sources):,} rows are '
            f'there, {len(todo):,} are computed'
        )
        stored = {name.rsplit('|', 2)[0] for name in store.readers}
        if changed := sum(name.rsplit('|', 2)[0] in stored for name in todo):
            runner.logger.warning(
                f'feature cache {store.folder}: rows of {changed:,} files or views are of an earlier '
                'state of the file and not used; they stay in the folder'
            )
        if todo:
            for folder, keys in store.others().items():
                runner.logger.info(f'feature cache {folder} is not used, it was made with other: {", ".join(keys)}')
