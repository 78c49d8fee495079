"""A user's own data by name, and fields of a recipe that are of images in memory: what is refused, what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.nets.counts import multiply_adds, multiply_adds_of, parameters_of
from bench.spec import Faces, Net, Recipe, Run, SpecError, Views

RUN = Run("paper", Net("cifar", 20, "A"), "cifar10", Recipe(), 0)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Recipe(views=Views(), size=64), "size 64 and augment 'crop+flip' are of images in memory, and this"),
        (lambda: Recipe(faces=Faces(), augment="none"), "this recipe has faces: leave both out"),
        (lambda: Recipe(size=7), "size must be 8 or more, got 7"),
        (lambda: Recipe(augment="flip"), "augment 'flip' is not one of: crop+flip, crop, none"),
        (lambda: replace(RUN, recipe=Recipe(size=64)), "those of CIFAR-10 have 32 x 32 pixels: leave size out"),
        (lambda: replace(RUN, recipe=Recipe(test_images=10_001)), "at most the 10,000 test images of CIFAR-10"),
        (
            lambda: replace(RUN, data="svhn", recipe=Recipe(test_images=26_033)),
            "at most the 26,032 test images of SVHN",
        ),
        (
            lambda: replace(RUN, data="npz:mine", recipe=Recipe(views=Views())),
            "'npz:mine' go with a recipe that has none",
        ),
        (lambda: replace(RUN, data="folder:a/b"), "data 'folder:a/b' must be folder:NAME"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(SpecError, match=re.escape(words)):
        make()


def test_a_folder_is_held_in_memory_or_with_views_read_from_disk() -> None:
    in_memory = replace(RUN, data="folder:mine").dataset
    on_disk = replace(RUN, net=Net("imagenet", 18, "A"), data="folder:mine", recipe=Recipe(views=Views())).dataset

    assert (in_memory.name, in_memory.title, in_memory.part) == ("folder:mine", "mine", "")
    assert (on_disk.name, on_disk.title, on_disk.part) == ("folder:mine", "mine", "views")
    assert in_memory.experiment != on_disk.experiment


def test_costs_are_those_of_the_recipes_size_and_of_as_many_classes_as_are_told() -> None:
    own = replace(RUN, data="npz:mine", recipe=Recipe(size=64))

    assert multiply_adds_of(own, 100) == multiply_adds(own.net, 64, 100) > 3 * multiply_adds_of(RUN)
    assert (parameters_of(own), parameters_of(own, 10)) == (0, parameters_of(RUN))
