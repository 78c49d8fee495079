"""Task `diagnose`: a training with a look at every layer's gradient before the first step and at each test."""

from __future__ import annotations

from bench.spec import Run
from bench.tasks.experiment import Experiment
from bench.tasks.job import Job
from bench.tasks.training import responses, train_run
from bench.train.probes import Row, backward, layer_rows
from bench.train.trainer import Trainer
from bench.train.turns import Work


def diagnose(run: Run, job: Job) -> Work[None]:
    """Trains as `train_run` does, to the same bits, and looks at the layers on the way; raises what it raises.

    A run that diverges keeps the rows until then: that of step 0 is always there.
    """
    return train_run(run, job, look=gradients)


def gradients(trainer: Trainer, experiment: Experiment) -> list[Row]:
    """What the next update would do to each layer, on one fixed batch: the first training images, not augmented.

    With the responses to test images, but not before the first step: until then BN has no averages to test with.
    """
    batch, recipe = experiment.first_batch(), experiment.run.recipe
    if batch is None:
        return []
    back = backward(trainer.net, *batch, bn_group=recipe.bn_group, precision=recipe.precision)
    stds = responses(trainer, experiment) if trainer.step else None
    return layer_rows(trainer.net, trainer.step, stds=stds, back=back)
