"""Re-checks what is published: files against digests, numbers against what they are made of, reports against both."""

from bench.report.verify.figures import figure_problems
from bench.report.verify.pages import index_problems
from bench.report.verify.pairs import across
from bench.report.verify.proof import three_lines
from bench.report.verify.published import Trusted, to_the_end
from bench.report.verify.reruns import Result, compare_rerun, stored_run
from bench.report.verify.strays import stray_problems
from bench.report.verify.sweep import problems, result_problems, unchecked

__all__ = [
    "Result", "Trusted", "across", "compare_rerun", "figure_problems", "index_problems", "problems", "result_problems",
    "stored_run", "stray_problems", "three_lines", "to_the_end", "unchecked",
]  # fmt: skip
