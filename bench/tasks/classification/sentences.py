"""What depth, shortcuts and recipes change in a classifier's errors, in sentences; of nets at chance nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pandas as pd

from bench.report.evidence import Evidence, Pair, claimed_pairs
from bench.report.frame import NETS, Set, display_name, first_option, kinds_of, nets_of, with_bn
from bench.report.numbers import n_words, signed
from bench.report.pairs import baseline
from bench.report.stats import wilson
from bench.report.tables import at_chance, chance_of, change, one_of
from bench.spec import counted

OF_PAPER = "it rises with depth in plain networks and falls in residual ones"  # Figures 1, 4 and 6


def sentences(evidence: Evidence) -> tuple[list[str], list[str]]:
    """Those that answer the question, then the others: recipes are asked about where there are any.

    Nets at chance are named, and no difference to them is told: it would be one between guesses.
    """
    results = evidence.results
    guessing = at_chance(results).groupby(results.done["net"]).all()
    out = guessing.index[guessing]
    learnt = replace(results, runs=results.runs[~results.runs["net"].isin(out)])
    chance = [_chance(evidence, learnt, out)] if len(out) else []
    if not len(learnt.done):
        return chance, []
    halves, by_depth, between = degradation(evidence, learnt), with_depth(learnt), differences(evidence, learnt)
    of_recipes = [recipes(evidence, pair) for pair in evidence.pairs if pair.variant and not set(pair.names) & set(out)]
    between += [compared(evidence, pair) for pair in claimed_pairs(evidence) if not set(pair.names) & set(out)]
    first = [*([] if halves else by_depth), *of_recipes] if of_recipes else halves or by_depth or between
    answer = [*chance, *(first if first is halves else first[:3]), *out_of_order(learnt), *some_at_chance(learnt)]
    every = [*halves, *of_recipes, *between, *by_depth]
    return answer, [sentence for sentence in every if sentence not in answer]


def _chance(evidence: Evidence, learnt: Set, out: Iterable[str]) -> str:
    """Which nets are no better than a guess, and which are: all, or some."""
    results, chance = evidence.results, f"{chance_of(evidence.results):.4g} %"
    steps = f"{one_of(results.done['steps'].map('{:,}'.format))} steps"
    errors = results.nets.loc[list(out), "test_error_mean"]
    images = one_of(results.done["test_images"].map("{:,.0f}".format))
    within = f"test error {_range(errors)} % on {images} images"
    if not len(learnt.done):
        why = f"{steps} are too few to tell nets apart" if evidence.describes else f"no net has learnt in {steps}"
        return f"All test errors are at chance ({chance}): {why} ({within})."
    better = learnt.nets[learnt.nets["n"] > 0]["test_error_mean"]
    return (
        f"At chance ({chance}) after {steps}: {_names(out)} ({within}). Better than a guess: {_names(better.index)} "
        f"({_range(better)} %)."
    ) + " Sentences tell differences among these alone; tables have all." * (len(better) > 1)


def _range(errors: pd.Series[float]) -> str:
    return " to ".join(dict.fromkeys((f"{errors.min():.2f}", f"{errors.max():.2f}")))


def _names(nets: Iterable[str]) -> str:
    return ", ".join(display_name(str(net)) for net in nets)


def some_at_chance(learnt: Set) -> list[str]:
    """Nets of which some seeds have learnt and some have not: their mean is of neither."""
    done, guessing, lines = learnt.done, at_chance(learnt), []
    for net, runs in done[guessing].groupby("net", sort=False):
        seeds = ", ".join(f"seed {row['seed']}: {row['test_error']:.2f} %" for _, row in runs.iterrows())
        which = f"{len(runs)} of {counted(int((done['net'] == net).sum()), 'run')} of {display_name(str(net))}"
        lines.append(f"At chance: {which} ({seeds}); its mean is of nets that learnt and nets that did not.")
    return lines


def _with_number(learnt: Set) -> pd.DataFrame:
    """The nets that figures over depth show and that have a number, with BN, a row each."""
    nets = first_option(with_bn(learnt.nets))
    return nets[nets["n"] > 0]


def degradation(evidence: Evidence, learnt: Set) -> list[str]:
    """What depth does to the training error of plain nets, and of residual ones, and the test error of the deepest."""
    nets = _with_number(learnt)
    plain, residual = (nets[nets_of(nets) == name].set_index("depth") for name in NETS[:2])
    both = sorted(set(plain.index) & set(residual.index))
    if len(both) < 2:
        return []

    def told(name: str, kind: pd.DataFrame) -> str:
        low, high = (float(kind.loc[depth, "train_error_mean"]) for depth in (both[0], both[-1]))
        seeds = n_words([int(kind.loc[depth, "n"]) for depth in (both[0], both[-1])])
        verb = "goes" if round(low, 2) == round(high, 2) else "rises" if high > low else "falls"
        return (
            f"{name.capitalize()} networks: the training error {verb} from {low:.2f} % at {both[0]} layers to "
            f"{high:.2f} % at {both[-1]} (n = {seeds})."
        )

    p, r = plain.loc[both[-1]], residual.loc[both[-1]]
    test = (
        f"{p['test_error_mean']:.2f} % plain, {r['test_error_mean']:.2f} % residual (n = {n_words((p['n'], r['n']))})"
    )
    halves = [told(name, kind) for name, kind in zip(NETS, (plain, residual), strict=False)]
    return [*halves, *_of_paper(evidence), f"Test error at {both[-1]} layers: {test}."]


def _of_paper(evidence: Evidence) -> Iterator[str]:
    """What the paper's training errors do with depth, and after how many steps; where they may stand beside ours."""
    sweep, results = evidence.sweep, evidence.results
    if evidence.describes or results.authorship.own or not results.dataset.of_paper or "paper" not in sweep.scales:
        return
    steps = one_of(pd.Series([f"{run.recipe.steps:,}" for run in sweep.runs("paper", None, sweep.data_at("paper"))]))
    yield f"In the paper, after {steps} steps, {OF_PAPER}."


def out_of_order(learnt: Set) -> Iterator[str]:
    """Nets whose test error is outside those of the next shallower and deeper net, beyond all intervals over images.

    A line for plain and one for residual nets; of a single net with those beside it.
    """
    nets = _with_number(learnt).sort_values("depth")
    for name in kinds_of(nets):
        kind = nets[nets_of(nets) == name]
        within = [wilson(row["test_error_mean"], int(row["test_images"])) for _, row in kind.iterrows()]
        found = []
        for k in range(1, len(kind) - 1):
            beside = within[k - 1], within[k + 1]
            above = within[k].low > max(one.high for one in beside)
            if above or within[k].high < min(one.low for one in beside):
                found.append(k)
        names, errors = list(map(display_name, kind.index)), [f"{error:.2f} %" for error in kind["test_error_mean"]]
        if len(found) == 1:
            three = slice(found[0] - 1, found[0] + 2)
            low, this, high = zip(names[three], errors[three], strict=True)
            ns = kind["n"].iloc[three]
            of = f"n = {', '.join(map(str, ns))}" if (ns > 1).any() else "one seed each"
            yield f"Out of order: {this[0]}'s test error, {this[1]} ({': '.join(low)}, {': '.join(high)}); {of}."
        elif found:
            which = ", ".join(f"{names[k]} ({errors[k]})" for k in found)
            yield f"Out of order by test error: {which}; n = {n_words([int(kind['n'].iloc[k]) for k in found])}."


def differences(evidence: Evidence, learnt: Set) -> list[str]:
    """For each depth that has both, what the paper's residual net changes, in words; with BN."""
    over = {pair.depth: pair.over_seeds or pair.over_images for pair in evidence.pairs if not pair.variant}
    nets = _with_number(learnt)
    nets = nets[nets_of(nets).isin(NETS[:2])]
    plain, residual = (
        nets[part].set_index("depth") for part in (nets["shortcut"] == "none", nets["shortcut"] != "none")
    )
    lines = []
    for depth in sorted(set(plain.index) & set(residual.index)):
        p, r, interval = plain.loc[depth], residual.loc[depth], over.get(depth)
        within = f"; 95 % over {interval.covers}: {signed(interval.low)} to {signed(interval.high)}" if interval else ""
        lines.append(
            f"At {depth} layers the residual net's test error is "
            f"{change(r['test_error_mean'] - p['test_error_mean'], 2, ' points')} "
            f"({r['test_error_mean']:.2f} % against {p['test_error_mean']:.2f} %{within}) and its training loss "
            f"{change(r['train_loss_mean'] - p['train_loss_mean'], 3)} "
            f"({r['train_loss_mean']:.3f} against {p['train_loss_mean']:.3f}); n = {n_words((r['n'], p['n']))}."
        )
    return lines


def compared(evidence: Evidence, pair: Pair) -> str:
    """What the second of two nets that a claim compares changes in the test error."""
    done = evidence.results.done
    errors = [done.loc[done["net"] == name, "test_error"].mean() for name in pair.names]
    first, second = map(display_name, pair.names)
    over = pair.over_seeds or pair.over_images
    differs = change(pair.difference, 2, " points") + (" than" if round(pair.difference, 2) else " as")
    return (
        f"{second}'s test error is {differs} that of {first} ({errors[1]:.2f} % against {errors[0]:.2f} %; 95 % over "
        f"{over.covers}: {signed(over.low)} to {signed(over.high)}); n = {n_words(pair.seeds[::-1])}."
    )


def with_depth(learnt: Set) -> list[str]:
    """How the training error changes with depth, for plain nets, residual nets and other units; with BN."""
    nets, lines = _with_number(learnt), []
    kinds = {name: nets[nets_of(nets) == name].set_index("depth") for name in kinds_of(nets)}
    halves = len(set(kinds[NETS[0]].index) & set(kinds[NETS[1]].index)) > 1  # then two depths are told there
    for name, kind in kinds.items():
        errors = kind["train_error_mean"]
        if len(errors) > 2 or (len(errors) == 2 and not halves):
            steps = ", ".join(f"{depth} layers {error:.2f} %" for depth, error in errors.items())
            grown = errors.iloc[-1] - errors.iloc[0]
            lines.append(
                f"Training error of {name} nets by depth: {steps}; the deepest is "
                f"{change(grown, 2, ' points')}{' than' if round(abs(grown), 2) else ' as'} the shallowest "
                f"(n = {', '.join(map(str, dict.fromkeys(kind['n'])))})."
            )
    return lines


def recipes(evidence: Evidence, pair: Pair) -> str:
    """What a change of a net's recipe does to its test error, or that its seeds do not tell."""
    runs = evidence.results.done[evidence.results.done["id"].isin(pair.runs)]
    own, other = (runs.loc[runs["net"] == name, "test_error"].mean() for name in pair.names)
    over, seeds = pair.over_seeds or pair.over_images, counted(pair.seeds[0], "seed")
    unknown = f"{seeds} {'does' if pair.seeds[0] == 1 else 'do'} not tell whether the test error changes"
    told = f"the test error is {change(pair.difference, 2, ' points')}, over {seeds}"
    return (
        f"{display_name(pair.names[1])} instead of {baseline(evidence.results, pair.names[1])}: "
        f"{unknown if over.low <= 0 <= over.high else told} ({other:.2f} % against {own:.2f} %, "
        f"{signed(pair.difference)} points; 95 % over {over.covers}: {signed(over.low)} to {signed(over.high)})."
    )
