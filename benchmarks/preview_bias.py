"""What the builder's early rejection loses: draws that the full simulation would have kept.

python benchmarks/preview_bias.py [--draws 4000] [--model mass-effect]
"""

import argparse

from record import keep

from gliodex.errors import UnsolvedError
from gliodex.simulate import MODELS, Prior, load_atlas, model_in, prior_for, without_mass_effect
from gliodex.simulate.early_rejection import SizePreview
from gliodex.simulate.prior import tissue_voxels

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--draws", type=int, default=4000)
parser.add_argument("--seed", type=int, default=23)
parser.add_argument("--model", choices=MODELS, default="fk")
arguments = parser.parse_args()

atlas, settings = load_atlas(), MODELS[arguments.model]()
solver, tissue, prior = model_in(atlas, settings), tissue_voxels(atlas), prior_for(settings, Prior())
preview = SizePreview(atlas, without_mass_effect(settings), prior)
kept = lost = turned_down = unsolved = 0
for index in range(arguments.draws):
    parameters = prior.draw(atlas, tissue, arguments.seed, index)
    try:
        run = solver.grow(parameters, stop_above_ml=3 * prior.whole_ml[1])  # so large a limit is not foreseen, only met
    except UnsolvedError:  # which no store holds
        unsolved += 1
        continue
    hopeless = preview(parameters).hopeless
    volumes = (float((run.density >= level).sum()) * atlas.frame.voxel_ml for level in (0.2, 0.6))
    keeps = not run.outgrew and prior.keeps(*volumes)
    kept += keeps
    turned_down += hopeless
    lost += keeps and (hopeless or solver.grow(parameters, stop_above_ml=prior.whole_ml[1]).outgrew)
keep(
    "preview_bias" if arguments.model == "fk" else "preview_bias_mass_effect",
    {
        "draws": arguments.draws,
        "seed": arguments.seed,
        "kept_by_simulation": kept,
        "turned_down_early": turned_down,
        "lost": lost,
        "unsolved": unsolved,
        # rule of three where none is lost: Hanley & Lippman-Hand 1983
        "lost_share_upper_95": round(3 / kept if not lost else (lost + 2 * lost**0.5) / kept, 5),
    },
    f"python benchmarks/preview_bias.py --draws {arguments.draws} --seed {arguments.seed}"
    + (f" --model {arguments.model}" if arguments.model != "fk" else ""),
)
