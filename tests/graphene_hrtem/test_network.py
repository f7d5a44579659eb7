"""The paper's network on folds: each image is predicted unseen."""

from types import SimpleNamespace

import numpy as np
import torch

from mchelpers import kept, models, train
from mchelpers.graphene_hrtem import network


def test_each_image_is_predicted_by_the_network_that_never_saw_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MCHELPERS_RUNS", str(tmp_path))
    images = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    labels = (images[:, 0] > 0).long()
    noted = []
    run = SimpleNamespace(tier="smoke", device="cpu", workers=1, trained=lambda *a: noted.append(a))
    folds = [np.array([0, 2]), np.array([1, 3])]
    masks, trained = network.train_on_folds(images, labels, folds, "small", run, seed=3)
    assert masks.shape == (4, 32, 32) and masks.dtype == bool
    assert len(trained.weights) == len(trained.histories) == 2 and len(noted) == 1
    for fold, file in zip(folds, trained.weights):
        net = kept.load_network(models.UNet(32, 7), file)
        logits = train.predict(net, images[fold])
        assert ((logits[:, 1] > logits[:, 0]).numpy() == masks[fold]).all()
