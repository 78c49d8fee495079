"""A model card beside exported weights, `<id>.md`: what they are, what they reached, how they are loaded.

It follows from the file of weights alone. Its front matter is that of huggingface.co, model-index included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.report import authorship
from bench.report.digests import write_digests
from bench.report.frame import display_name
from bench.report.numbers import listed
from bench.report.render.latex import PAPER
from bench.report.stats import wilson
from bench.spec import Run, SpecError, run_from_json
from bench.spec.datasets import DATASETS, data_words
from bench.spec.own import copy_name
from bench.store import StoreError, tensor_file, write_text
from bench.store.tensor_file import TensorFile

SUFFIX = ".md"
HEADS = ("fc.bias", "classifier.bias", "head.bias")  # a value for each class
URL = re.compile(r"^ +url: (https?://\S+)$", re.MULTILINE)


def write_card(weights: Path) -> None:
    """Writes the card of a file of weights beside it. Raises StoreError where it is no file that export wrote."""
    file = tensor_file.read(weights)
    text = card(weights.name, file, authorship.web_address(file.about.get("commit", "")))
    write_text(weights.with_suffix(SUFFIX), text)


def renew_cards(results: Path) -> None:
    """Writes the cards among published weights once more, as the suite words them now."""
    cards = [path for path in sorted(results.glob(f"weights/*{SUFFIX}")) if list(card_problems(path))]
    for path in cards:
        write_card(path.with_suffix(tensor_file.SUFFIX))
    if cards:
        write_digests(results)


def card_problems(path: Path) -> Iterator[str]:
    """What is wrong with a card, held against the weights beside it."""
    weights = path.with_suffix(tensor_file.SUFFIX)
    try:
        text = path.read_text(encoding="utf-8")
        url = URL.search(text)  # where the code can be read is not the same in every checkout
        if text != card(weights.name, tensor_file.read(weights), url[1] if url else ""):
            yield f"it does not follow from {weights.name}; `bench publish` writes it once more"
    except (OSError, ValueError, StoreError) as error:
        yield str(error)


def card(name: str, file: TensorFile, url: str = "") -> str:
    """The card of a file of this name. url: of the code that trained it. Raises StoreError."""
    try:
        run = run_from_json(file.about.get("run", ""))
        error, images = float(file.about["test_error"]), int(file.about["test_images"])
    except (SpecError, LookupError, ValueError) as problem:
        raise StoreError(f"{name} has no metadata of a run that `bench export` writes: {problem}") from None
    head = yaml.safe_dump(_front(run, error, images, url), sort_keys=False, allow_unicode=True, width=1_000)
    body = (*_about(run, file, error, images), *_loading(name, run, file), *_made_of(file))
    return f"---\n{head}---\n\n" + "\n\n".join(body) + "\n"


def _front(run: Run, error: float, images: int, url: str) -> dict[str, Any]:
    """The metadata that a hub reads."""
    task, data = run.task_row, run.dataset
    kind = {"pipeline_tag": task.hub} if task.hub else {}
    residual = [] if run.net.plain or run.net.row.own else ["resnet"]
    measured = {task.measure: task.value(error)} | ({"accuracy": 100 - error} if task.by_image else {})
    metrics = [
        {"type": what.lower().replace(" ", "_"), "value": round(value, 10), "name": f"{what}, in percent"}
        for what, value in measured.items()
    ]
    result = {
        "task": {"type": task.hub or task.name},
        "dataset": {
            "type": data.hub or run.data.replace(":", "-"),
            "name": _data_name(run),
            "args": {f"test_{task.judged}": images},
        },
        "metrics": metrics,
        **({"source": {"name": "resnet-bench", "url": url}} if url else {}),
    }
    return {
        **({} if run.codes else {"license": "apache-2.0"}),  # the user's code is the user's
        "library_name": "pytorch",
        **kind,
        "tags": [*residual, "safetensors", "reproduction", "resnet-bench", "arxiv:1512.03385"],
        **({"datasets": [data.hub]} if data.hub else {}),
        "model-index": [{"name": run.id, "results": [result]}],
    }


def _data_name(run: Run) -> str:
    title = run.dataset.title
    return title if run.data in DATASETS else f"{title} ({run.data})"


def _about(run: Run, file: TensorFile, error: float, images: int) -> Iterator[str]:
    task, recipe, net = run.task_row, run.recipe, display_name(run.net.name)
    yield f"# {net} on {_data_name(run)}"
    of_own = f", on a task of its author's, `{run.task}`" if run.own_task else ""
    options = f" with `{run.net.options}`" if run.net.options else ""
    made = f" (a net of its author's, `{run.net.build}`{options})" if run.net.row.own else ""
    drops = f", divided by ten after {listed([f'{step:,}' for step in recipe.drops])}" if recipe.drops else ""
    yield (
        f"{net}{made}, trained{of_own} with resnet-bench, a reproduction suite for [Deep Residual Learning for Image "
        f"Recognition](https://arxiv.org/abs/1512.03385): {recipe.steps:,} steps of {recipe.batch} images at a "
        f"learning rate of {recipe.lr:g}{drops}, weight decay {recipe.weight_decay:g}, {recipe.precision}, "
        f"seed {run.seed}, on {data_words(run.data, file.about.get('data_sha256', ''))}. The run is `{run.id}`."
    )
    if run.dataset.made_up:
        yield "**The images are procedural: the number below says nothing of real ones.**"
    elif run.scale != "paper":
        yield f"**Scale `{run.scale}`, a shorter training than the paper's: the number tests none of its claims.**"
    what = task.judged
    table = (f"| {task.measure} | {what} tested | trainings (n) |", "| --: | --: | --: |")
    yield "\n".join((*table, f"| {task.value(error):.2f} % | {images:,} | 1 |"))
    if task.by_image:
        interval = wilson(error, images)
        yield (
            f"95 % interval over {what} ({interval.method}): {interval.low:.2f} to {interval.high:.2f} %. It covers "
            f"other test {what}, the net as it is."
        )
    yield "This is one training (n = 1): by how much other seeds differ, it does not say."


def _loading(name: str, run: Run, file: TensorFile) -> Iterator[str]:
    """How the net is made from the file, with the suite's code, safetensors, and code of the user's beside it."""
    row, own = run.dataset, run.own_task
    classes = row.classes or next((file.tensors[head].shape[0] for head in HEADS if head in file.tensors), 0)
    yield "## Loading it"
    module, _, made_by = row.experiment.partition(":")
    if own:
        module, made_by = copy_name(own.code, own.sha256), own.code.rpartition(":")[2]
    if own or run.task_row.backbone or not classes:
        yield f'```python\nfrom safetensors.torch import load_file\n\ntensors = load_file("{name}")\n```'
        yield (
            f"They are the state dict of the net that `{made_by}.net` in `{module}` makes with resnet-bench; `python "
            "-m bench verify SWEEP --weights DIR` tests them."
        )
        return
    code = copy_name(run.net.build, run.net.build_sha256) if run.net.build else ""
    first, keep = "from pathlib import Path\n\n" * bool(code), "from bench.spec.own import keep\n" * bool(code)
    kept = f'keep(Path("{code}").read_bytes())  # the code of the net, which lies beside this card\n' * bool(code)
    yield f"""```python
{first}from bench.spec import run_from_json  # of resnet-bench, as bench.nets
{keep}from safetensors import safe_open
from safetensors.torch import load_file

{kept}with safe_open("{name}", "pt") as file:
    run = run_from_json(file.metadata()["run"])
net = run.net.row.resolve("build")(run.net, {classes}).eval()  # the module, for {classes} classes
net.load_state_dict(load_file("{name}"))
```"""
    if row.part:
        yield f"`{module}` of resnet-bench makes its inputs of images."
    else:
        side = row.side or "side"
        yield (
            f"Inputs are (N, 3, {side}, {side}): pixels in [0, 1] minus the mean of the training images at each pixel "
            "and channel. `Prepare.of(train_images)(images)` of `bench.tasks.classification.cifar` makes them of uint8 "
            "images."
        )


def _made_of(file: TensorFile) -> Iterator[str]:
    kept = ("commit", "data", "data_sha256", "weights_sha256", "manifest_sha256")
    yield "## Provenance"
    rows = (f"| {name} | `{file.about[name]}` |" for name in kept if file.about.get(name))
    yield "\n".join(("| | |\n| --- | --- |", *rows))
    yield "## Citation"
    yield f"{file.about.get('citation', 'resnet-bench')}.\n\n```bibtex\n{PAPER}```"
