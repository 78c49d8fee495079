"""The vocabulary of the suite: Net, Recipe, Run, Resources, Scale, Claim, Sweep. Standard library only.

A Run is a frozen value. Whatever can change its number is in it and hashed into its id, defaults included;
whatever changes only the bill is in Resources and is not.
"""

from bench.spec.claim import LEVEL, PROCEDURE, Claim, Comparison
from bench.spec.net import Net
from bench.spec.recipe import Detection, Faces, Recipe, Views, shortened
from bench.spec.run import ADDED_LATER, BATCH_NORMS, Resources, Run, Way, digest, run_from_json
from bench.spec.sweep import Ensemble, Scale, Sweep
from bench.spec.words import (
    DETECTION,
    DETECTOR_LOSSES,
    DIVERGED,
    FACES,
    HEALTHY,
    IMAGENET_DEPTHS,
    METRICS,
    OPTIONS,
    PICTURES,
    PRECISIONS_OF_BOXES,
    PROTOCOLS,
    SCALES,
    VERIFICATION,
    SpecError,
    classes_of,
    counted,
)

__all__ = [
    "ADDED_LATER",
    "BATCH_NORMS",
    "DETECTION",
    "DETECTOR_LOSSES",
    "DIVERGED",
    "FACES",
    "HEALTHY",
    "IMAGENET_DEPTHS",
    "LEVEL",
    "METRICS",
    "OPTIONS",
    "PICTURES",
    "PRECISIONS_OF_BOXES",
    "PROCEDURE",
    "PROTOCOLS",
    "SCALES",
    "VERIFICATION",
    "Claim",
    "Comparison",
    "Detection",
    "Ensemble",
    "Faces",
    "Net",
    "Recipe",
    "Resources",
    "Run",
    "Scale",
    "SpecError",
    "Sweep",
    "Views",
    "Way",
    "classes_of",
    "counted",
    "digest",
    "run_from_json",
    "shortened",
]
