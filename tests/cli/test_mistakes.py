"""A mistake in a sweep file is one line: the field, what was given, what is allowed, and what to write instead."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import bench.spec as vocabulary
from bench.cli.sweep_files import MistakeError, known_sweeps, load_sweep
from bench.spec import Claim, Detection, Ensemble, Faces, Net, Recipe, Resources, Scale, Sweep, Views, shortened
from bench.spec.advice import example

HEAD = """from dataclasses import replace
from bench.spec import *
NET, PLAIN = Net("cifar", 8, "A"), Net("cifar", 8, "none")
QUICK = Recipe(steps=30, drops=(), curve_every=3, test_every=15)
CELLS = ((PLAIN, QUICK), (NET, QUICK))
"""
CLAIM = {"id": '"c"', "text": '"t"', "source": '"Fig. 6"', "kind": '"residual beats plain"', "nets": "(PLAIN, NET)"}


def call(name: str, usual: dict[str, str], changed: dict[str, str]) -> str:
    return f"{name}({', '.join(f'{field}={value}' for field, value in (usual | changed).items())})"


def scale(**changed: str) -> str:
    one = call("Scale", {"cells": "CELLS", "seeds": "(0, 1)"}, changed)
    return sweep(scales=f'{{"quick": {one}}}')


def claim(**changed: str) -> str:
    return sweep(claims=f"({call('Claim', CLAIM, changed)},)")


def sweep(**changed: str) -> str:
    usual = {"title": '"T"', "question": '"Q?"', "claim": '"C."', "scales": '{"quick": Scale(CELLS, (0, 1))}'}
    return f"SWEEP = {call('Sweep', usual, changed)}"


MISTAKES: dict[str, tuple[str, ...]] = {
    # Sweep
    'SWEEP = Sweep(5, "Q?", "C.", {"quick": Scale(CELLS, (0,))})': ("title must be a text, got 5", 'such as title="Pl'),
    'SWEEP = Sweep("T", "Q?")': ("claim is missing, such as claim=", "scales is missing, such as scales={"),
    'SWEEP = Sweep("T", "Q?", "C.", {}, (), *range(1, 30))': ("there are more values than fields (title, ",),
    sweep(title='""'): ("title must not be empty, got ''", 'such as title="Plain against'),
    sweep(question='" "'): ("question must not be empty, got ' ', such as question=",),
    sweep(claim="None"): ("claim must be a text, got None, such as claim=",),
    sweep(claim='""'): ("claim must not be empty, got '', such as claim=",),
    sweep(tittle='"T"'): ("unknown field 'tittle' (allowed: title, question, claim, ", "did you mean title?"),
    sweep(seeds="(0,)"): ("unknown field 'seeds' (allowed: title, ",),
    sweep(scales="Scale(CELLS, (0,))"): ("scales must be a dict, got Scale(…), such as scales={",),
    sweep(scales="{}"): ("scales must have 1 or more, got {}, such as scales={",),
    sweep(scales='{"Fast": Scale(CELLS, (0,))}'): ("scales.Fast 'Fast' is not one of: paper, short, quick, such as",),
    sweep(scales='{"quick": CELLS}'): ("scales.quick must be a Scale, got ((Net(…), Recipe(…)), (Net(…), Recipe(…)))",),
    sweep(scales='{"quick": Scale}'): ("scales.quick must be a Scale, got the class Scale, such as",),
    sweep(deviations='"Few steps."'): ("must be a tuple, got 'Few steps.': write deviations=('Few steps.',)",),
    sweep(deviations='["Few.", "More."]'): ("got ['Few.', 'More.']: write deviations=('Few.', 'More.')",),
    sweep(deviations='("Few.", 3)'): ("deviations[1] must be a text, got 3, such as deviations=(",),
    sweep(deviations='("",)'): ("deviations[0] must not be empty, got '', such as deviations=(",),
    sweep(claims='"it wins"'): ("claims must be a tuple, got 'it wins', such as claims=(Claim(",),
    sweep(claims='("it wins",)'): ("claims[0] must be a Claim, got 'it wins', such as claims=(Claim(",),
    sweep(claims=call("Claim", CLAIM, {})): ("claims must be a tuple, got Claim(…): write claims=(Claim(…),)",),
    sweep(claims=f"({call('Claim', CLAIM, {})}, {call('Claim', CLAIM, {})})"): ("two claims have the id c",),
    sweep(data='"CIFAR-10"'): ("data 'CIFAR-10' is not one of: cifar10, cifar100, svhn, ", "write data='cifar10'"),
    sweep(data='"imagenet"'): ("at scale quick run: data 'imagenet' go with a recipe that has views", "Recipe(views="),
    sweep(task='"clasify"'): ("task 'clasify' is not one of: classify, diagnose, ", "write task='classify'"),
    sweep(task='"detect"'): ("task 'detect' and data 'cifar10' do not go together: they are for classify, diagnose",),
    sweep(resources="4"): ("resources must be a Resources, got 4, such as resources=Resources(cpus=2)",),
    sweep(ensembles='(Ensemble("My E", "t", (NET, PLAIN)),)'): ("id must be of small letters, digits and -", "'my-e'"),
    sweep(ensembles='(Ensemble("e", "t", (NET,)),)'): ("two different nets or more, got 1: write nets=(ONE, OTHER)",),
    # Scale
    scale(seeds="[0, 1]"): ("seeds must be a tuple, got [0, 1]: write seeds=(0, 1)",),
    scale(seeds="(0)"): ("seeds must be a tuple, got 0: write seeds=(0,)",),
    scale(seeds="range(3)"): ("seeds must be a tuple, got range(0, 3): write seeds=(0, 1, 2)",),
    scale(seeds="list(range(30))"): ("write seeds=(0, 1, 2, ", "18, 19, …)"),
    scale(seeds='"0, 1"'): ("seeds must be a tuple, got '0, 1': write seeds=(0, 1)",),
    scale(seeds="()"): ("seeds must have 1 or more, got (), such as seeds=(0, 1, 2)",),
    scale(seeds="(0, 0)"): ("seeds (0, 0) must be distinct: write (0,)",),
    scale(seeds="(0.5,)"): ("seeds[0] must be a whole number, got 0.5, such as seeds=(0, 1, 2)",),
    scale(seeds="(2**32,)"): ("seeds[0] must be below 4,294,967,296, got 4294967296, such as seeds=",),
    scale(cells="(NET, QUICK)"): ("cells[0] must be a tuple, got Net(…)", "write cells=((Net(…), Recipe(…)),)"),
    scale(cells="[(NET, QUICK)]"): ("got [(Net(…), Recipe(…))]: write cells=((Net(…), Recipe(…)),)",),
    scale(cells="{NET: QUICK}"): ("got {Net(…): Recipe(…)}: write cells=((Net(…), Recipe(…)),)",),
    scale(cells="((NET, QUICK, 1),)"): ("cells[0] must have 2 or less, got (Net(…), Recipe(…), 1), such as cells=((",),
    scale(cells="((NET,),)"): ("cells[0][1] is missing, such as cells=((Net(",),
    scale(cells="((NET, Recipe),)"): ("cells[0][1] must be a Recipe, got the class Recipe, such as cells=((Net(",),
    scale(cells='(("resnet-8", QUICK),)'): ("cells[0][0] must be a Net, got 'resnet-8', such as cells=((Net(",),
    scale(cells="((NET, QUICK),) * 2"): ("a cell is there twice: resnet-8-A",),
    scale(cells="()"): ("cells must have 1 or more, got (), such as cells=((",),
    scale(judges='"c"'): ("judges must be a tuple, got 'c': write judges=('c',)",),
    scale(judges='("c",)'): ("judges names claims that are not there: c; there are: none", "write judges=() there"),
    scale(seeds_by_net='{"resnet-8-A": (0,)}'): ("seeds_by_net.resnet-8-A must be a Net, got 'resnet-8-A', such as",),
    scale(seeds_by_net="{NET: [0]}"): ("seeds_by_net.Net(…) must be a tuple, got [0], such as seeds_by_net={Net(",),
    scale(seeds_by_net='{Net("cifar", 20, "A"): (0,)}'): ("in no cell: resnet-20-A; there are: plain-8, resnet-8-A",),
    scale(classes="10"): ("quick asks for 10 classes, which only a part of ImageNet can have: leave classes out",),
    scale(cells="((NET, Recipe(steps=30, drops=())),)"): (
        "resnet-8-A: curve_every 200 and test_every 1000 must be at most steps 30",
        "write curve_every=3, test_every=15",
    ),
    scale(cells="((NET, replace(QUICK, batch=50_048)),)"): (
        "batch 50048 must be at most the 50,000 images of CIFAR-10, such as batch=128",
    ),
    # Claim
    claim(id='"my claim"'): ("id must be of letters, digits, -, _, = and +, got 'my claim': write id='my-claim'",),
    claim(id='""'): ("id must be of letters, digits, -, _, = and +, got '', such as id=",),
    claim(text='""'): ("text must not be empty, got '', such as text=",),
    claim(source="6"): ('source must be a text, got 6, such as source="Table 6"',),
    claim(kind='"residual beat plain"'): ("is not one of: equals, exceeds, ", "write kind='residual beats plain'"),
    claim(nets="NET"): ("nets must be a tuple, got Net(…): write nets=(Net(…),)",),
    claim(nets="(NET,)"): ("'residual beats plain' needs 2 nets, got 1: write nets=(PLAIN, RESIDUAL)",),
    claim(nets="(NET, PLAIN)"): ("compares plain with residual nets, got resnet-8-A, plain-8: write nets=(PLAIN, RES",),
    claim(nets='("plain-8", "resnet-8")'): ("nets[0] must be a Net, got 'plain-8'; nets[1] must be", "such as nets=("),
    claim(metric='"accuracy"'): ("metric 'accuracy' is not one of: test_error, train_error, ", "metric='test_error'"),
    claim(margin='"0.5"'): ("margin must be a number, got '0.5': write margin=0.5",),
    claim(kind='"equals"', nets="(NET,)"): ("a margin above 0, such as margin=0.5", 'such as number="t6.resnet-20.er'),
    claim(kind='"unchanged"', nets="(NET,)", margin="1"): ('needs a variant, such as variant="bf16"',),
    claim(variant='"bf16"'): ("'residual beats plain' has no variant: leave it out",),
    claim(number='"t6.resnet-20.error"'): ("'residual beats plain' names no number of the paper: leave it out",),
    claim(kind='"equals"', nets="(NET,)", margin="1", number='"t6.resnet20"'): ("near it: t6.resnet-20.error",),
    claim(nets='(Net("cifar", 20, "none"), NET)'): ("no scale runs: plain-20; there are: plain-8, resnet-8-A",),
    # Recipe and its parts
    'Recipe(steps="30")': ("steps must be a whole number, got '30': write steps=30",),
    "Recipe(steps=30.0)": ("steps must be a whole number, got 30.0: write steps=30",),
    "Recipe(steps=True)": ("steps must be a whole number, got True, such as steps=64000",),
    "Recipe(steps=30)": ("drops (32000, 48000) must rise between 0 and steps 30: write drops=(15, 22)", "shortened(R"),
    "Recipe(drops=15)": ("drops must be a tuple, got 15: write drops=(15,)",),
    "Recipe(drops=[15, 22])": ("drops must be a tuple, got [15, 22]: write drops=(15, 22)",),
    'Recipe(lr="1e-1")': ("lr must be a number, got '1e-1': write lr=0.1",),
    "Recipe(lr=-1)": ("lr must be above 0, got -1, such as lr=0.1",),
    "Recipe(momentum=1)": ("momentum must be below 1, got 1, such as momentum=0.9",),
    "Recipe(batch=100)": ("batch 100 must be a multiple of bn_group 64: write bn_group=50 or batch=128",),
    'Recipe(precision="fp16")': ("precision 'fp16' is not one of: fp32, bf16: write precision='bf16'",),
    "Recipe(test_images=50_001)": ("test_images 50001 must lie in 1..50000: write test_images=50000 or less",),
    "Recipe(test_every=150)": ("must be a multiple of curve_every 200: write curve_every=150 or test_every=200",),
    "Recipe(warmup_steps=70_000)": ("warmup_steps 70000 must lie in 0..64000, such as warmup_steps=400",),
    "Recipe(batch_size=32)": ("unknown field 'batch_size' (allowed: steps, lr, drops, ", "did you mean batch?"),
    "Recipe(views=True)": ("views must be a Views, got True, such as views=Views()",),
    "QUICK.steps = 60": ("recipe: steps is fixed once it is made: write replace(recipe, steps=60)",),
    "replace(QUICK, step=60)": ("unknown field 'step' (allowed: ", "did you mean steps?"),
    'shortened(Recipe(), "200")': ("steps must be a whole number above 0, got '200': write shortened(Recipe(), 200)",),
    "shortened(Recipe, 200)": ("recipe must be a Recipe, got the class Recipe: write shortened(Recipe(), 200)",),
    "Views(shorter=256)": ("shorter must be a tuple, got 256, such as shorter=(256, 480)",),
    "Views(shorter=(480, 256))": ("shorter (480, 256) must be (least, most): write shorter=(256, 480)",),
    "Views(ten_crop=1)": ("ten_crop must be True or False, got 1: write ten_crop=True",),
    "Views(side=300)": ("a crop of 300 does not fit into a shorter side of 256: write side=256 or less",),
    'Faces(loss="softmax")': ("softmax has no margin, got 0.5: write margin=0",),
    "Detection(anchors=128)": ("anchors must be a tuple, got 128: write anchors=(128,)",),
    "Detection(width=3)": ("width: no part of form 'c4', whose own are anchors, pooling",),
    "Detection(before_nms=3)": ("before_nms is called pre_nms_top_n now",),
    # Net and Resources
    'Net("cifar10", 20, "A")': ("family 'cifar10' is not one of: cifar, bottleneck, imagenet, ", "write 'cifar'"),
    'Net("cifar", 21, "A")': ("depth 21 is not one of: 6n+2 with n >= 1, such as 20, 32",),
    'Net("cifar", "20", "A")': ("depth must be a whole number, got '20': write depth=20",),
    'Net("cifar", 20)': ('shortcut is missing, such as shortcut="A"',),
    'Net(20, "A")': ('family must be a text, got 20, such as family="cifar"; depth', "'A', such as depth=20"),
    'Net("cifar", 20, "a")': ("shortcut 'a' is not one of: none, A, B, C: write 'A'",),
    'Net("imagenet", 50, "B", weights="file:")': ("weights 'file:' are not file:NAME, as in file:mine.pth",),
    "Resources(cpu=2)": ("unknown field 'cpu' (allowed: cpus, gpus, ", "did you mean cpus?"),
    'Resources(memory_gib="4 GB")': ("memory_gib must be a number, got '4 GB', such as memory_gib=2.0",),
    # the file
    "": ("defines no SWEEP = Sweep(...) of bench.spec: end it with SWEEP = Sweep(title, question, claim, scales)",),
    "SWEEP = 3": ("its SWEEP is 3; write SWEEP = Sweep(",),
    "SWEEP = Sweep": ("its SWEEP is the class Sweep; write SWEEP = Sweep(",),
    sweep().replace("SWEEP", "sweep"): ("its sweep is called sweep; write SWEEP = sweep",),
    "def f(:": ("line 6: SyntaxError: invalid syntax, in 'def f(:'",),
    "  x = 1": ("line 6: IndentationError: unexpected indent, in 'x = 1'",),
    "\0": ("null bytes",),
    "from bench.spec import Sweeps": ("line 6: ImportError: bench.spec has no Sweeps; did you mean Sweep?",),
    "from bench.spec import nothing_like_it": ("line 6: ImportError: bench.spec has no nothing_like_it",),
    "del Claim\nClaim": ("line 7: NameError: name 'Claim' is not defined; write from bench.spec import Claim",),
    "import nothere": ("line 6: ModuleNotFoundError: No module named 'nothere'",),
    'raise ValueError("one\\ntwo")': ("line 6: ValueError: one two",),
    "def f(): f()\nf()": ("RecursionError",),
}  # fmt: skip


def refused(path: Path, body: str) -> str:
    path.write_text(HEAD + body + "\n")
    with pytest.raises(MistakeError) as error:
        load_sweep(str(path))
    return str(error.value)


@pytest.mark.parametrize("body", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_to_write(tmp_path: Path, body: str) -> None:
    said = refused(tmp_path / "own.py", body)

    for words in MISTAKES[body]:
        assert words in said
    assert said.startswith(str(tmp_path / "own.py"))
    assert "\n" not in said
    assert "SpecError" not in said


def test_a_file_that_is_not_utf8_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_bytes(b"x = '\xe9'\n")

    with pytest.raises(MistakeError, match=r"own.py.*: SyntaxError: .*utf-8"):
        load_sweep(str(tmp_path / "own.py"))


def test_a_list_without_an_end_is_refused_and_not_followed_to_it(tmp_path: Path) -> None:
    assert "seeds must be a tuple, got count(0)" in refused(
        tmp_path / "own.py", scale(seeds="__import__('itertools').count()")
    )


def test_the_mistakes_of_two_files_are_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, body in {"one": "SWEEP = 3", "two": 'Net("cifar", 21, "A")'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "sweep.py").write_text(HEAD + body)

    known_sweeps(tmp_path)

    said = [line for line in capsys.readouterr().out.splitlines() if str(tmp_path) in line]
    assert ["its SWEEP is 3" in said[0], "depth 21 is not one of" in said[1], len(said)] == [True, True, 2]


KINDS: tuple[Any, ...] = (Sweep, Scale, Claim, Recipe, Views, Faces, Detection, Net, Resources, Ensemble)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in kind.__pydantic_fields__])
def test_every_example_is_one_that_its_field_takes(kind: Any, name: str) -> None:
    value = eval(example(kind.__pydantic_fields__[name]), vars(vocabulary).copy())
    usual: dict[Any, dict[str, Any]] = {
        Sweep: {"title": "T", "question": "Q?", "claim": "C.", "scales": {"quick": Scale(((NET, QUICK),), (0,))}},
        Scale: {"cells": ((NET, QUICK),), "seeds": (0,)},
        Claim: {"id": "c", "text": "t", "source": "s", "kind": "residual beats plain", "nets": (PLAIN, NET)},
        Ensemble: {"id": "e", "text": "t", "nets": (PLAIN, NET)},
        Net: {"family": "cifar", "depth": 20, "shortcut": "A"},
    }
    refusal = ""
    try:
        kind(**{**usual.get(kind, {}), name: value})
    except vocabulary.SpecError as error:  # of what does not go with the other fields
        refusal = str(error)

    assert not re.search(rf"\b{name}(\[\d\])* must be a |\b{name} is missing", refusal)


NET, PLAIN = Net("cifar", 20, "A"), Net("cifar", 20, "none")
QUICK = shortened(Recipe(), 30)
