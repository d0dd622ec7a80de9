"""What networks did, as README shows it: their part of the block that tables.py writes."""

from typing import Any

import numpy as np
from record import latest

from gliodex.evaluation.lmi_table import SMALL_ML, growth_table
from gliodex.evaluation.surrogate_benchmark import surrogate_table

_SURROGATE_PLOTS = (
    "![A growing tumour, by the solver and by the surrogate.](docs/surrogate_growth.png)\n\n"
    "![Distributions of Dice and of errors, a row a way.](docs/surrogate_histograms.png)"
)


def networks() -> str:
    """Return all of it, in Markdown."""
    pushing = "The same of the growth model with mass effect"
    parts = [
        *_lmi("lmi", "Errors of networks that predict growth"),
        *_targets("lmi_targets", "Effect of the regression target"),
    ]
    parts += [*_curve(), *_against_sampler(), *_lmi("lmi_mass_effect", pushing)]
    parts += _targets("lmi_targets_mass_effect", "Effect of the regression target with mass effect")
    parts += [*_surrogate(), *_ablations(), *_sampled_by_surrogate()]
    return "".join(f"\n\n{part}" for part in parts)


def _lmi(name: str, title: str) -> list[str]:
    if not (found := latest(name)):
        return []
    own = found["trained"][found["rows"][0]["way"]][0]
    about = (
        f"{title} (`{found['command']}`): tumours that no store holds, outlined at random "
        "densities, told, simulated again and held against the truth. Means with 95 % intervals (Dice: of those "
        "tumours where the truth or what is told is so dense), medians of "
        f"what is off and of ms (one query on 2 cores). {_densest(found['rows'][0])}First the network "
        "that queries take: "
        f"{own['weights'] / 1e6:.1f} million weights, trained with {own['tumours']:,} tumours, {own['epochs']} "
        f"epochs, {own['seconds'] / 60:.0f} min on 2 cores, {own['memory_gb']:.1f} GB of tumours in memory."
    )
    plot = "![Mean absolute error of each tumour over its growth.](docs/error_by_growth.png)"
    return [about, growth_table(found["rows"]), *[plot] * (name == "lmi")]


def _targets(name: str, title: str) -> list[str]:
    if not (found := latest(name)):
        return []
    minutes = found["minutes"].values()
    about = (
        f"{title} (`{found['command']}`): each network learned from the same {found['tumours']:,} "
        f"tumours in {found['epochs']} epochs{_seen_by_the_papers(found['paper_tumours'])}. "
        f"Each took {min(minutes):.0f} to {max(minutes):.0f} min on 2 cores."
    )
    return [about, growth_table(found["rows"])]


def _seen_by_the_papers(tumours: int) -> str:
    return f"; Ezhov et al.'s (2023) own network, on all voxels, saw {tumours:,} once" if tumours else ""


def _curve() -> list[str]:
    if not (found := latest("lmi_curve")):
        return []
    lines = ["| tumours learned from | epochs | min | MAE white | Dice at 0.01 | 0.1 | 0.8 |", "|" + "---|" * 7]
    for row in found["rows"]:
        means = row["means"]
        cells = [f"{row['learned_from']:,}", str(row["epochs"]), f"{row['minutes']:.0f}"]
        cells += [f"{means[name][0]:.3f}" for name in ("mae_white", "dice_0.01", "dice_0.1", "dice_0.8")]
        lines.append(f"| {' | '.join(cells)} |")
    about = (
        f"What more tumours gain at an equal number of views (`{found['command']}`; {found['unseen']} held-out "
        "tumors). "
        f"{_extrapolated(found['rows'])}"
    )
    return [about, "\n".join(lines)]


def _extrapolated(rows: list[dict[str, Any]]) -> str:
    """Say what a power law through the errors comes to beyond what was trained."""
    numbers = np.log([row["learned_from"] for row in rows])
    beyond = 10 * rows[-1]["learned_from"]
    said = []
    for what, errors in (
        ("MAE in white matter", [row["means"]["mae_white"][0] for row in rows]),
        ("1 - Dice at 0.8", [1 - row["means"]["dice_0.8"][0] for row in rows]),
    ):
        slope, offset = np.polyfit(numbers, np.log(errors), 1)
        said.append(f"{what} {np.exp(offset + slope * np.log(beyond)):.3f}")
    return f"A power law through these errors comes to {' and '.join(said)} at {beyond:,}: extrapolated, not measured."


def _against_sampler() -> list[str]:
    if not (found := latest("lmi_tmcmc")):
        return []
    low, high = found["interval_95"]
    rows = found["rows"]
    ms, seconds = (float(np.median([row[name] for row in rows])) for name in ("network_ms", "seconds"))
    fits = ""
    if "fits" in found:
        network, sampler = found["fits"]
        fits = f" The network's meets the outlines to a Dice sum of {network:.2f}, the sampler's {sampler:.2f}."
    return [
        f"Of {found['patients']} patients, the prediction of the network and the most probable tumour of transitional "
        f"MCMC (`{found['command']}`) agree to a Dice of {found['dice_0.01']:.2f} (95 % {low:.2f} to {high:.2f}, "
        f"median {found['median']:.2f}) at a density of 0.01; Ezhov et al. (2023), Fig. 6: about 0.8. "
        f"The network takes {ms:.0f} ms, the sampler {seconds:.0f} s (medians)."
        f"{fits}{_other_pairs(found.get('others'))}"
    ]


def _other_pairs(others: dict[str, list[float]] | None) -> str:
    if others is None:
        return ""
    said = {
        "refined_dice_0.01": "what `--refine lmi` makes of it, with that most probable tumour",
        "mean_dice_0.01": "the network's with the mean density of the sampler's posterior",
        "refined_mean_dice_0.01": "the refined with that mean",
    }
    pairs = [
        f"{what}: {others[name][0]:.2f} ({others[name][1]:.2f} to {others[name][2]:.2f})" for name, what in said.items()
    ]
    return f" Other pairs: {'; '.join(pairs)}."


def _surrogate() -> list[str]:
    if not (found := latest("surrogate")):
        return []
    own = found["trained"]
    about = (
        f"How well a surrogate says densities on {found['rows'][0]['anatomies']} anatomies that it has not seen "
        f"(`{found['command']}`), in the cube of 64³ voxels around the seed: means with 95 % intervals, medians of "
        f"ms on 2 cores. {own['weights'] / 1e6:.1f} million weights, trained with {own['tumours']:,} tumours of "
        f"{own['anatomies']} anatomies, {own['epochs']} epochs, {own['seconds'] / 60:.0f} min on 2 cores."
    )
    return [about, surrogate_table(found["rows"]), _SURROGATE_PLOTS]


def _ablations() -> list[str]:
    if not (found := latest("surrogate_ablations")):
        return []
    about = (
        f"Inputs and training losses of a surrogate (`{found['command']}`): each learned from "
        f"{found['tumours']:,} tumours of the same ten anatomies in {found['epochs']} epochs; the "
        f"network of Ezhov et al. (2021) saw {found['paper_tumours']:,} once: as many minutes allow no more. "
        "Minutes on 2 cores: " + ", ".join(f"{name} {minutes:.0f}" for name, minutes in found["minutes"].items()) + "."
    )
    return [about, surrogate_table(found["rows"])]


def _sampled_by_surrogate() -> list[str]:
    if not (found := latest("surrogate_tmcmc")):
        return []
    about = (
        "What transitional MCMC finds with a surrogate, and with the solver run anew with other random numbers, "
        f"against the solver: most probable tumours of {found['patients']} patients (`{found['command']}`), "
        "medians. Paper: the five patients of its Table I."
    )
    return [about, _map_table(found)]


def _densest(row: dict[str, Any]) -> str:
    if "densest" not in row:
        return ""
    (small, few), (large, many) = row["densest"]["small"], row["densest"]["large"]
    return (
        f"The first network's Dice at 0.8 is {large:.3f} on the {many:,} tumours with at least {SMALL_ML:g} ml so "
        f"dense, {small:.2f} on {few:,} with less, told or true. "
    )


def _map_table(found: dict[str, Any]) -> str:
    lines = ["| | √(DT) off | √(ρT) off | seed off, mm | Dice at 0.2 | 0.4 | 0.8 | s |", "|" + "---|" * 8]
    for way, row in {**found["medians"], "Ezhov et al. (2021): surrogate": found["paper"]}.items():
        cells = [way, f"{row['diffusion']:.1%}", f"{row['growth']:.1%}", f"{row['seed_mm']:.1f}"]
        cells += [f"{row[name]:.2f}" if name in row else "" for name in ("dice_0.2", "dice_0.4", "dice_0.8")]
        cells.append(f"{found['seconds'][way]:.0f}" if way in found["seconds"] else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
