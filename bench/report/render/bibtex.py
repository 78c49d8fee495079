"""BibTeX of the paper and of a set of results: cite.bib."""

from __future__ import annotations

from collections.abc import Sequence

from bench.report.evidence import Evidence
from bench.report.tables import one_of

PAPER = """@inproceedings{he2016deep,
  author = {He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian},
  title = {Deep Residual Learning for Image Recognition},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages = {770--778},
  year = {2016},
  eprint = {1512.03385},
  archiveprefix = {arXiv},
}
"""
OURS = """@misc{{{key},
  author = {{{{The resnet-bench authors}}}},
  title = {{{title}: results of resnet-bench {version}}},
  year = {{{year}}},
  howpublished = {{A reproduction of He et al., Deep Residual Learning for Image Recognition}},
  note = {{Scale {scale}, data {data}, commit {commit}, results SHA-256 {digest}}},
}}
"""


def bibliography(weighed: Sequence[Evidence]) -> str:
    """The paper, then an entry a set of results."""
    return "\n".join([PAPER, *(entry(one) for one in weighed if len(one.results.done))])


def entry(evidence: Evidence) -> str:
    """The entry of a set, dated by its last run; its key is `resnet-bench:plain_vs_residual.paper`."""
    done = evidence.results.done
    return OURS.format(
        key=f"resnet-bench:{evidence.id()}",
        title=_escaped(evidence.sweep.title),
        version=one_of(done["bench"]),
        year=done["ended"].max()[:4],
        scale=evidence.results.scale,
        data=evidence.results.data,
        commit=one_of(done["commit"].str[:10].replace("", "unknown")),
        digest=evidence.results.digest[:12],
    )


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "%&#$_" else c for c in text)
