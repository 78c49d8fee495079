r"""For a LaTeX paper: `\input{tables/paper-table6}`, `\bench{ID}` of tables/numbers.tex, BibTeX in cite.bib.

A table comes with its protocol as a note below it, and shrinks to the line where it is wider;
\usepackage{array,booktabs,graphicx} is all that it needs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from bench.report.authorship import Authorship
from bench.report.evidence import Evidence
from bench.report.numbers import Number, text_of
from bench.report.tables import Table, one_of

SENTENCE = 30  # characters above which a cell of text is broken into lines
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": r"$-$", "–": "--", "<": "$<$",
    ">": "$>$", "“": "``", "”": "''", "×": r"$\times$", "∞": r"$\infty$",
    "≤": r"$\leq$", "≥": r"$\geq$", "⁻": "$^{-}$", **{raised: f"$^{k}$" for k, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
}  # fmt: skip


def escape(text: str) -> str:
    """Plain text as LaTeX typesets it with pdflatex; what no font there has becomes a question mark."""
    return "".join(SPECIAL.get(c) or (c if c.isascii() else "?") for c in text)


def prose(markdown: str) -> str:
    """A cell or a note: `code` and **bold** as LaTeX has them."""
    # plain, one escaped character, code, bold, plain, ...
    texts = re.split(r"\\([!-/:-@\[-`{-~])|`([^`]*)`|\*\*([^*]+)\*\*", " ".join(markdown.split()))
    commands = ("{}", "{}", r"\texttt{{{}}}", r"\textbf{{{}}}")
    return "".join(commands[k % 4].format(escape(text)) for k, text in enumerate(texts) if text is not None)


def tabular(table: Table) -> str:
    """The table between booktabs' rules, as wide as it gets, and its note; numbers flush right, sentences broken."""
    rows = [[prose(text_of(cell)) for cell in row] for row in table.rows]
    lines = [
        r"% needs \usepackage{array,booktabs,graphicx}",
        rf"\sbox0{{\begin{{tabular}}{{{_columns(table)}}}",
        r"\toprule",
        " & ".join(map(prose, table.header)) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\noindent\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        *_note(table.note),
    ]
    return "\n".join(lines) + "\n"


def _note(note: str) -> list[str]:
    below = rf"\par\smallskip\noindent\begin{{minipage}}{{\linewidth}}\footnotesize {prose(note)}\end{{minipage}}"
    return [below] if note else []


def _columns(table: Table) -> str:
    """Text left, numbers right; columns of sentences share half the line."""
    texts = range(table.text)
    long = [k for k in texts if max((len(prose(text_of(row[k]))) for row in table.rows), default=0) > SENTENCE]
    broken = rf">{{\raggedright\arraybackslash}}p{{{0.5 / max(1, len(long)):.2f}\linewidth}}"
    return "".join(broken if k in long else "l" for k in texts) + "r" * (len(table.header) - table.text)


MACROS = r"""
% \bench{ID}: the value; \bench{ID.std}: its standard deviation; \bench{ID.n}: the seeds, of a difference of nets with
% unequally many those of each, `5 and 3'; \bench{ID.seeds.low}, \bench{ID.seeds.high}: its 95 % interval over seeds;
% \bench{ID.seeds.covers}: what that covers; and the same over images only, the trained nets as they are:
% \bench{ID.images.low}, ... The ids stand in numbers.csv; where a field is empty there, no macro is defined. Another
% name is an error.
\providecommand{\bench}[1]{\ifcsname bench@#1\endcsname\csname bench@#1\endcsname\else
  \errmessage{resnet-bench has no number #1; see numbers.csv}\fi}
"""


def macros(published: Sequence[Number]) -> str:
    r"""tables/numbers.tex: every number by its id, for `\bench{plain_vs_residual.paper.resnet-20-A.test_error}`."""
    return MACROS.lstrip() + "".join(line for number in published for line in _definitions(number))


def _definitions(number: Number) -> list[str]:
    texts = {"": number.write(number.value), ".n": number.seeds}
    if not math.isnan(number.std):
        texts[".std"] = number.write(number.std)
    for over, one in number.intervals.items():
        parts = {"low": number.write(one.low), "high": number.write(one.high), "covers": one.covers}
        texts |= {f".{over}.{part}": text for part, text in parts.items()}
    return [
        rf"\expandafter\def\csname bench@{number.id}{suffix}\endcsname{{{escape(text)}}}" + "\n"
        for suffix, text in texts.items()
    ]


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
ENTRY = """@misc{{{key},
  author = {{{author}}},
  title = {{{title}}},
  year = {{{year}}},
  howpublished = {{{how}}},
  note = {{Scale {scale}, data {data}, {commits}, results SHA-256 {digest}}},
{url}}}
"""
REPRODUCTION = "A reproduction of He et al., Deep Residual Learning for Image Recognition"


def bibliography(weighed: Sequence[Evidence]) -> str:
    """cite.bib: the paper, then an entry a set of results."""
    return "\n".join([PAPER, *(entry(one) for one in weighed if len(one.results.done))])


def entry(evidence: Evidence, url: str = "") -> str:
    """The entry of a set, dated by its last run; its key is `resnet-bench:plain_vs_residual.paper`.

    The title names the scale. Of a user's runs the user is the author; of a user's study no title is that of a
    reproduction. url: of the code; none in cite.bib, which must be the same in every checkout.
    """
    done, who = evidence.results.done, evidence.results.authorship
    made_up = " (on a procedural stand-in)" if evidence.results.dataset.made_up else ""
    title = f"{_title(evidence.sweep.title)}, scale {evidence.results.scale}{made_up}"
    suite = f"resnet-bench {one_of(done['bench'])}"
    commits = f"commit {one_of(done['commit'].str[:10].replace('', 'unknown'))}"
    if not who.ours:
        commits = f"resnet-bench {commits}"
    if who.own:
        commits = f"{study_commit(who)}, {commits}"
    return ENTRY.format(
        key=f"{'resnet-bench:' if who.ours else ''}{evidence.id()}",
        author=f"{{{who.author}}}" if who.ours else _title(who.author),
        title=title if who.own else f"{title}: results of {suite}",
        year=done["ended"].max()[:4],
        how=f"Runs of {suite}" if who.own else REPRODUCTION,
        scale=evidence.results.scale,
        data=evidence.results.data,
        commits=commits,
        digest=evidence.results.digest[:12],
        url=f"  url = {{{url}}},\n" if url else "",
    )


def study_commit(who: Authorship) -> str:
    """`study's commit 1234567890`, with a word on changes since; where no repository holds it, so."""
    changes = " with uncommitted changes" if who.dirty else ""
    return f"study's commit {who.commit[:10]}{changes}" if who.commit else "study in no repository"


# BibTeX counts braces that are escaped, too
OF_TITLE = {c: SPECIAL[c] for c in "\\%&#$_~^"} | {"{": "(", "}": ")"}


def _title(text: str) -> str:
    """A sweep's title in BibTeX, whose other letters may be any."""
    return "".join(OF_TITLE.get(c, c) for c in " ".join(text.split()))
