"""Write the cards of the networks that come with gliodex, from their own records and from benchmarks/results/.

python benchmarks/cards.py
"""

from pathlib import Path
from typing import Any

from record import latest

from gliodex.evaluation.lmi_table import growth_table
from gliodex.evaluation.surrogate_benchmark import surrogate_table
from gliodex.learn.lmi import NetworkFile, Targets, shipped_path
from gliodex.learn.surrogate import SurrogateFile, shipped_surrogate


def cards() -> dict[Path, str]:
    """Return the text of each card, by the path where it lies: beside the network."""
    found = {}
    lmi, surrogate = shipped_path("small", Targets()), shipped_surrogate("small")
    if lmi.is_file():
        found[lmi.with_suffix(".md")] = _lmi(NetworkFile(lmi))
    if surrogate.is_file():
        found[surrogate.with_suffix(".md")] = _surrogate(SurrogateFile(surrogate))
    return found


def _lmi(file: NetworkFile) -> str:
    record, run = file.record, file.record["run"]
    learned = run["learned_from"]
    results = latest("lmi")
    measured = results and results["trained"][results["rows"][0]["way"]][0].get("sha256") == file.sha256
    table = growth_table(results["rows"]) if measured else "not measured yet"
    count, held = learned["tumours"] - learned["held_apart"], learned["held_apart"]
    model, campaigns = run["model"]["model"], ", ".join(learned["campaigns"])
    design = run["design"]
    return f"""# {file.path.name}

Tells √(DT), √(ρT) and the seed of a tumour from the outlines of core and whole in the atlas (Learn-Morph-Infer, paper
001), with their covariance. What `gliodex query --refine lmi` asks where a store has no network of its own.

## Data

{count:,} tumours simulated in {record["atlas"]["name"]} with {model} ({campaigns}),
{held:,} more to stop by: every simulation at its end and at up to three earlier
days. Every epoch outlines each anew, at densities drawn from 0.05 to 0.5 (whole) and 0.5 to 0.85 (core). No
patient was learned from.

## Training

{_training(record)}
AdamW, {design["rate"]:g} falling as a half cosine, weight decay {design["weight_decay"]:g},
{design["batch"]} tumours a step; Gaussian likelihood. Seed {run["seed"]}. Kept in half precision, SHA-256
{file.sha256}. To make it again:

    gliodex build learned --count 160000 --seed 500 --snapshots 3
    gliodex train lmi learned

## Figures

Tumours that it has never seen, outlined at random densities.

{table}

## Limits

For the atlas and growth model above alone: others are refused. It has learned from outlines as smooth as simulations
have them; patients' are ragged, moved by what a registration gets wrong, and no tumour of the model may explain them.
So what it tells is simulated and has to fit better than the best match to be kept, and outlines farther from its
tumours than any that it was tried on are warned of. Its covariance is that of simulated outlines. Not a medical device.
"""


def _surrogate(file: SurrogateFile) -> str:
    record, run = file.record, file.record["run"]
    held, model, design = run["held_apart"], run["model"]["model"], run["design"]
    each = [one["tumours"] - held for one in run["learned_from"]]
    results = latest("surrogate")
    measured = results and results["trained"]["sha256"] == file.sha256
    table = surrogate_table(results["rows"]) if measured else "not measured yet"
    bounds = "; ".join(
        f"{low:.3g} to {high:.3g}" for low, high in zip(record["ranges"]["low"], record["ranges"]["high"], strict=True)
    )
    return f"""# {file.path.name}

Predicts the density of a tumour in the 64³ voxels around its seed from tissue and growth (Ezhov et al. 2021). What
`--surrogate` takes in the solver's place.

## Data

{sum(each):,} tumours simulated in {len(each)} anatomies with {model}, {held:,} more of each to stop by; voxels of
{record["spacing_mm"]:g} mm. Growth between ({file.ranges.names}) {bounds}.

## Training

{_training(record)}
Adam, {design["rate"]:g} falling as a half cosine, {design["batch"]} tumours a step. Seed {run["seed"]}. Kept in half
precision, SHA-256 {file.sha256}. To make it again, with label files of
ten people's brains (1 CSF, 2 grey, 3 white):

    for n in 01 02 03 04 05 06 07 08 09 10; do
        gliodex build brain$n --atlas brain$n.nii.gz --prior ezhov2021 --count {each[0] + held} --seed 1$n
    done
    gliodex train surrogate brain01 brain02 ... brain10 --out {file.path.name} --epochs {run["epochs"]}

## Figures

Anatomies that it has never seen.

{table}

## Limits

Growth beyond these bounds is refused, and so are other voxels and growth models. What lies beyond the cube is taken
for free of tumour; a tumour that reaches its faces counts as outgrown. On a processor the solver is faster, and exact.
Not a medical device.
"""


def _training(record: dict[str, Any]) -> str:
    return (
        f"{record['weights'] / 1e6:.1f} million weights, {len(record['history'])} epochs in "
        f"{record['seconds'] / 60:.0f} min on {'2 cores' if record['device'] == 'cpu' else 'a GPU'}, "
        f"{record['memory_gb']:.1f} GB of tumours in memory, PyTorch {record['torch']}."
    )


if __name__ == "__main__":
    for path, text in cards().items():
        path.write_text(text)
        print(path)
