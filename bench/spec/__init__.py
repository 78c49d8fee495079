"""The vocabulary of the suite: Net, Recipe, Run, Resources, Scale, Claim, Sweep.

Three tables, datasets.py, tasks.py and families.py, say what the suite knows of each name in it.

A Run is a frozen value. Whatever can change its number is in it and hashed into its id, defaults included;
whatever changes only the bill is in Resources and is not.
"""

from bench.spec.claim import LEVEL, PROCEDURE, Claim, Comparison
from bench.spec.datasets import DATASETS, Dataset, dataset_of
from bench.spec.declare import stored_name
from bench.spec.families import FAMILIES, IMAGENET_DEPTHS, SOURCES, Family
from bench.spec.net import Net
from bench.spec.recipe import Detection, Faces, Recipe, Views, shortened
from bench.spec.run import ADDED_LATER, BATCH_NORMS, Resources, Run, Way, digest, run_from_json
from bench.spec.scale import Scale
from bench.spec.sweep import Ensemble, Sweep
from bench.spec.tasks import TASKS, OwnTask, Task, own_task, task_of
from bench.spec.words import (
    DETECTOR_LOSSES,
    DIVERGED,
    HEALTHY,
    METRICS,
    OPTIONS,
    PRECISIONS_OF_BOXES,
    PROTOCOLS,
    SCALES,
    VERIFICATION,
    SpecError,
    counted,
)

__all__ = [
    "ADDED_LATER", "BATCH_NORMS", "DATASETS", "DETECTOR_LOSSES", "DIVERGED", "FAMILIES", "HEALTHY",
    "IMAGENET_DEPTHS", "LEVEL", "METRICS", "OPTIONS", "PRECISIONS_OF_BOXES", "PROCEDURE", "PROTOCOLS", "SCALES",
    "SOURCES", "TASKS", "VERIFICATION", "Claim", "Comparison", "Dataset", "Detection", "Ensemble", "Faces",
    "Family", "Net", "OwnTask", "Recipe", "Resources", "Run", "Scale", "SpecError", "Sweep", "Task", "Views", "Way",
    "counted", "dataset_of", "digest", "own_task", "run_from_json", "shortened", "stored_name", "task_of",
]  # fmt: skip
