"""Re-checks what is published: files against digests, numbers against what they are made of, reports against both."""

from bench.report.verify.figures import figure_problems
from bench.report.verify.pages import index_problems
from bench.report.verify.reruns import compare_rerun, stored_run
from bench.report.verify.sweep import problems, result_problems

__all__ = ["compare_rerun", "figure_problems", "index_problems", "problems", "result_problems", "stored_run"]
