"""What depth, shortcuts and recipes change in a classifier's errors, in sentences."""

from __future__ import annotations

import pandas as pd

from bench.report import pairs
from bench.report.evidence import Evidence
from bench.report.frame import NETS, Set, first_option, nets_of, with_bn
from bench.report.tables import change


def sentences(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Those that answer the question, three at most, then the others: recipes are asked about where there are any."""
    results = evidence.results
    halves, by_depth, between = degradation(results), with_depth(results), differences(results)
    of_recipes = pairs.variant_findings(evidence)
    answer = [*([] if halves else by_depth), *of_recipes] if of_recipes else halves or by_depth or between
    every = [*halves, *of_recipes, *between, *by_depth]
    return answer[:3], [sentence for sentence in every if sentence not in answer[:3]]


def degradation(results: Set) -> list[str]:
    """What depth does to the training error of plain nets, and of residual ones, and the test error of the deepest."""
    nets = first_option(with_bn(results.nets))
    nets = nets[nets["n"] > 0]
    plain, residual = (nets[nets_of(nets) == name].set_index("depth") for name in NETS[:2])
    both = sorted(set(plain.index) & set(residual.index))
    if len(both) < 2:
        return []

    def told(name: str, kind: pd.DataFrame) -> str:
        low, high = (float(kind.loc[depth, "train_error_mean"]) for depth in (both[0], both[-1]))
        seeds = dict.fromkeys(int(kind.loc[depth, "n"]) for depth in (both[0], both[-1]))
        verb = "rises" if high > low else "falls"
        return (
            f"{name.capitalize()} networks: the training error {verb} from {low:.2f} % at {both[0]} layers to "
            f"{high:.2f} % at {both[-1]} (n = {' and '.join(map(str, seeds))})."
        )

    p, r = plain.loc[both[-1]], residual.loc[both[-1]]
    test = f"{p['test_error_mean']:.2f} % plain, {r['test_error_mean']:.2f} % residual (n = {p['n']} and {r['n']})"
    halves = [told(name, kind) for name, kind in zip(NETS, (plain, residual), strict=False)]
    return [*halves, f"Test error at {both[-1]} layers: {test}."]


def differences(results: Set) -> list[str]:
    """For each depth that has both, what the paper's residual net changes, in words; with BN."""
    nets = first_option(with_bn(results.nets))
    nets = nets[(nets["n"] > 0) & nets_of(nets).isin(NETS[:2])]
    plain, residual = (
        nets[part].set_index("depth") for part in (nets["shortcut"] == "none", nets["shortcut"] != "none")
    )
    lines = []
    for depth in sorted(set(plain.index) & set(residual.index)):
        p, r = plain.loc[depth], residual.loc[depth]
        lines.append(
            f"At {depth} layers the residual net's test error is "
            f"{change(r['test_error_mean'] - p['test_error_mean'], 2, ' points')} "
            f"({r['test_error_mean']:.2f} % against {p['test_error_mean']:.2f} %) and its training loss "
            f"{change(r['train_loss_mean'] - p['train_loss_mean'], 3)} "
            f"({r['train_loss_mean']:.3f} against {p['train_loss_mean']:.3f}); n = {r['n']} and {p['n']}."
        )
    return lines


def with_depth(results: Set) -> list[str]:
    """How the training error changes with depth, for plain nets, residual nets and other units; with BN."""
    nets = first_option(with_bn(results.nets))
    nets = nets[nets["n"] > 0]
    lines = []
    for name in NETS:
        errors = nets[nets_of(nets) == name].set_index("depth")["train_error_mean"]
        if len(errors) > 2 or (len(errors) == 2 and not degradation(results)):
            steps = ", ".join(f"{depth} layers {error:.2f} %" for depth, error in errors.items())
            grown = errors.iloc[-1] - errors.iloc[0]
            lines.append(
                f"Training error of {name} nets by depth: {steps}; the deepest is "
                f"{change(grown, 2, ' points')}{' than' if round(abs(grown), 2) else ' as'} the shallowest."
            )
    return lines
