"""Going through a split as a training does, and as an evaluation does."""

import torch


def epoch(images, size, generator):
    """The batches of a pass. They are copies: a stream brings the next batch where the last one was."""
    images.shuffle(size, generator)
    for i in range(len(images) // size):
        images.load(i)
        yield tuple(part.clone() for part in images.batch())


def all_of(images):
    """Every image, normalised, in the order of the split."""
    return torch.cat([batch for batch, _ in images.batches()])
