"""The smallest model and data set that a real run of the tools needs: which of three clips does a query mean?"""

import torch
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn

QUERIES = {'t2v': 5, 'v2t': 4}


@DATASETS.register_module()
class ToyQueries(BaseDataset):
    """Nine queries, so that two processes do not share them evenly; each is a noisy copy of its clip's vector."""

    def __init__(self):
        super().__init__(lazy_init=False, serialize_data=False)

    def load_data_list(self):
        noise = torch.Generator().manual_seed(0)
        queries = []
        for direction, count in QUERIES.items():
            for query_id in range(count):
                vector = torch.nn.functional.one_hot(torch.tensor(query_id % 3), 4).float()
                queries.append(
                    dict(
                        inputs=vector + torch.randn(4, generator=noise),
                        target=query_id % 3,
                        direction=direction,
                        query_id=query_id,
                    )
                )
        return queries


@MODELS.register_module()
class ToyRetriever(BaseModel):
    """A frozen and a trained linear layer."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 3)
        nn.init.eye_(self.base.weight)
        for zero in (self.base.bias, self.head.weight, self.head.bias):
            nn.init.zeros_(zero)

    def forward(self, inputs, target, direction, query_id, mode, **kwargs):
        logits = self.head(self.base(inputs))
        if mode == 'loss':
            return dict(loss=nn.functional.cross_entropy(logits.float(), target))
        print(f'predicts in {logits.dtype}')
        best = logits.gather(1, target[:, None])
        ranks = (logits >= best).sum(dim=1)
        return [dict(direction=d, query_id=int(q), rank=int(r)) for d, q, r in zip(direction, query_id, ranks)]
