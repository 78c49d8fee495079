"""Forged pages, figures, and files that nothing wrote."""

from __future__ import annotations

import json
import re

from bench.report.digests import write_digests
from tests.forgeries.base import Forged, Forgery

PAGE = "reports/plain_vs_residual/README.md"
FIGURE = "reports/plain_vs_residual/curves-paper"


def a_number_on_a_page(base: Forged) -> None:
    """A number is another one on the page."""
    base.replace(PAGE, "8.49", "8.19")


def a_number_on_a_page_listed_anew(base: Forged) -> None:
    """The same, and the digests of the pages are made anew."""
    base.replace(PAGE, "8.49", "8.19")
    write_digests(base.reports)


def a_number_to_be_cited(base: Forged) -> None:
    """A value in numbers.csv is another one, and the digests are made anew."""
    base.replace("reports/plain_vs_residual/numbers.csv", "8.49", "8.19")
    write_digests(base.reports)


def a_macro_of_latex(base: Forged) -> None:
    """A number is another one in the macros for LaTeX, and the digests are made anew."""
    base.replace("reports/plain_vs_residual/tables/numbers.tex", "8.49", "8.19")
    write_digests(base.reports)


def a_line_of_a_figure(base: Forged) -> None:
    """A curve in the figure runs lower than its numbers; what the file says it was drawn from stays."""
    path = base.root / f"{FIGURE}.svg"
    text = path.read_text(encoding="utf-8")
    line = max(re.findall(r'<path d="M ([^"]+)"', text), key=len)
    lower = re.sub(r"(L [\d.]+ )(-?[\d.]+)", lambda m: f"{m[1]}{float(m[2]) + 6:.6f}", line)
    path.write_text(text.replace(line, lower, 1), encoding="utf-8")
    write_digests(base.reports)


def a_picture_of_nothing(base: Forged) -> None:
    """A figure is an empty picture that says it was drawn from these results."""
    text = (base.root / f"{FIGURE}.svg").read_text(encoding="utf-8")
    mark = re.search(r"resnet-bench results SHA-256 [0-9a-f]{64}", text)
    assert mark
    (base.root / f"{FIGURE}.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg"><!-- {mark[0]} --></svg>')
    write_digests(base.reports)


def a_figure_of_another_scale(base: Forged) -> None:
    """The figure of one scale stands in place of another's and says that it was drawn from that one's results."""
    mark = re.compile(r"resnet-bench results SHA-256 [0-9a-f]{64}")
    own, other = (base.root / f"reports/plain_vs_residual/curves-{scale}.svg" for scale in ("paper", "short"))
    said = mark.search(own.read_text(encoding="utf-8"))
    assert said
    own.write_text(mark.sub(said[0], other.read_text(encoding="utf-8")), encoding="utf-8")
    write_digests(base.reports)


def a_legend_of_a_figure(base: Forged) -> None:
    """The lines of plain and residual nets have each other's colours."""
    path = base.root / "reports/plain_vs_residual/curves-short.svg"
    text = path.read_text(encoding="utf-8")
    one, other = "stroke: #1f4e9c", "stroke: #d1432b"
    assert one in text
    assert other in text
    path.write_text(text.replace(one, "?").replace(other, one).replace("?", other), encoding="utf-8")
    write_digests(base.reports)


def a_pdf_of_something_else(base: Forged) -> None:
    """The PDF of a figure, which papers include, is another file with the same mark."""
    path = base.root / f"{FIGURE}.pdf"
    mark = re.search(rb"resnet-bench results SHA-256 [0-9a-f]{64}", path.read_bytes())
    assert mark
    path.write_bytes(b"%PDF-1.4\n% " + mark[0] + b"\n%%EOF\n")
    write_digests(base.reports)


def a_page_of_ones_own(base: Forged) -> None:
    """A page with better numbers lies among the generated ones."""
    (base.reports / "extended.md").write_text("# ResNet-1001\n\nTest error 3.9 %, n = 5.\n")
    write_digests(base.reports)


def a_page_beside_the_index(base: Forged) -> None:
    """A page with better numbers lies beside the index of all reports."""
    (base.root / "reports" / "extended.md").write_text("# ResNet-1001\n\nTest error 3.9 %, n = 5.\n")


def a_folder_of_reports(base: Forged) -> None:
    """A folder of reports of a sweep that has no results."""
    folder = base.root / "reports" / "wide"
    folder.mkdir()
    (folder / "README.md").write_text("# Wide nets\n\nTest error 3.9 %, n = 5.\n")
    write_digests(folder)


def a_file_of_results(base: Forged) -> None:
    """A table that nothing wrote lies among the results and is listed with them."""
    (base.results / "ablation.csv").write_text("net,test_error\nresnet-1001-A,3.9\n")
    base.renew()


def a_file_beside_the_results(base: Forged) -> None:
    """A table that nothing wrote lies beside the folders of results."""
    (base.root / "results" / "leaderboard.csv").write_text("net,test_error\nresnet-1001-A,3.9\n")


def a_row_of_the_index(base: Forged) -> None:
    """The index says that one more of the paper's numbers is reproduced."""
    text = (base.root / "reports/README.md").read_text(encoding="utf-8")
    line = next(each for each in text.splitlines() if "`t6.resnet-20.error`" in each)
    base.replace("reports/README.md", line, line.replace("8.49", "8.74"))


def a_block_of_the_first_page(base: Forged) -> None:
    """A number in a generated block of the first page is another one."""
    text = (base.root / "README.md").read_text(encoding="utf-8")
    block = re.search(r"<!-- generated: found.*?<!-- end -->", text, re.DOTALL)
    assert block
    digit = re.search(r"\d+\.\d\d", block[0])
    assert digit
    (base.root / "README.md").write_text(text.replace(block[0], block[0].replace(digit[0], "4.92", 1), 1))


def a_sentence_of_the_first_page(base: Forged) -> None:
    """A sentence outside the generated blocks promises a number that nobody measured."""
    text = (base.root / "README.md").read_text(encoding="utf-8")
    (base.root / "README.md").write_text(text.replace("\n\n", "\n\nResNet-110 reaches 6.1 % here (n = 5).\n\n", 1))


def how_claims_are_judged(base: Forged) -> None:
    """The page on the procedure says that it errs less often than it does."""
    path = base.root / "reports/procedure/plain_vs_residual-paper.md"
    text = path.read_text(encoding="utf-8")
    number = re.search(r"\d+\.\d+ ?%", text) or re.search(r"\b\d+\.\d+\b", text)
    assert number
    path.write_text(text.replace(number[0], "0.01" + number[0].lstrip("0123456789."), 1), encoding="utf-8")
    base.renew()


def a_kept_speed(base: Forged) -> None:
    """A measured speed of this suite is three times what it was, and the page of speeds follows."""
    path = base.root / "results/speed/steps-fp32.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    for timing in kept["timings"]:
        timing["ours"] = [3 * value for value in timing["ours"]]
        timing["ratio"] = [3 * value for value in timing["ratio"]]
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    base.renew()


def another_authors_results(base: Forged) -> None:
    """The results are said to be another's, who is cited for them."""
    study = {"author": "Kaiming Who", "own": False, "commit": "", "dirty": False}
    (base.results / "study.json").write_text(json.dumps(study, indent=1) + "\n")
    base.renew()


FORGERIES = (
    *(
        Forgery(forge, "pages", False)
        for forge in (
            a_number_on_a_page,
            a_number_on_a_page_listed_anew,
            a_number_to_be_cited,
            a_macro_of_latex,
            a_page_of_ones_own,
        )
    ),
    *(Forgery(forge, "pages", False, index=True) for forge in (a_row_of_the_index, a_block_of_the_first_page)),
    *(
        Forgery(forge, "pages", True, index=True)
        for forge in (
            a_page_beside_the_index,
            a_folder_of_reports,
            a_file_beside_the_results,
            a_sentence_of_the_first_page,
            how_claims_are_judged,
            a_kept_speed,
        )
    ),
    *(Forgery(forge, "pages", True) for forge in (a_file_of_results, another_authors_results)),
    *(
        Forgery(forge, "figures", True)
        for forge in (
            a_line_of_a_figure,
            a_picture_of_nothing,
            a_figure_of_another_scale,
            a_legend_of_a_figure,
            a_pdf_of_something_else,
        )
    ),
)
