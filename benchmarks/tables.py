"""Write the figures of README from benchmarks/results/: the block between its two markers.

python benchmarks/tables.py
"""

from pathlib import Path

from network_tables import networks
from record import latest, runs

from gliodex.evaluation.benchmark_output import accuracy_table, cost_table
from gliodex.evaluation.patient_cohort import table as plausibility_table
from gliodex.evaluation.refinement_benchmark import table as stages_table

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- figures: written by benchmarks/tables.py -->", "<!-- end of figures -->"


def figures() -> str:
    """Return the table, one row a figure that has been measured."""
    rows = [*_solver_rows(), *_search_rows(), *_set_rows(), *_patient_rows(), *_posterior_rows(), *_service_rows()]
    lines = ["| what | figure | measured |", "|---|---|---|"]
    lines += [f"| {what} | {figure} | {how} |" for what, figure, how in rows]
    return "\n".join(lines) + _bench() + _refinement() + networks() + _plausibility()


def _bench() -> str:
    found = latest("bench")
    if not found:
        return ""
    rows, authors_s = found["rows"], found["authors_loop_s"]
    about = (
        f"All ways of searching {rows[0]['tumours']:,} tumours (`{found['command']}`; one core). Top-N: the best match "
        "is among the N best of exact search, or as good as the N-th, in brackets 95 % intervals; loss: what its Dice "
        "sum lacks to the best there is; cold: from the start of a process to its first answer."
    )
    authors = (
        f"The authors' loop: {found['authors_loop_tumours']} simulations timed on {rows[0]['cores_building']} cores "
        "and extrapolated. On disk: besides the exact index, which re-ranking needs too. In memory: what a process "
        "grew by at most."
    )
    plot = "![Accuracy against time of a query, for each way of searching.](docs/accuracy_against_time.png)"
    return "\n\n" + "\n\n".join([about, accuracy_table(rows), plot, cost_table(rows, authors_s), authors])


def _refinement() -> str:
    parts = []
    if found := latest("refine"):
        about = (
            f"What `--refine local` gains with {found['tumours']:,} tumours (`{found['command']}`; {found['cores']} "
            "cores). Means, of the Dice sum with 95 % intervals; medians of what is off, simulations and seconds. "
            "Simulated truths were never in the store: alike, as its tumours are simulated; finer, on voxels of 1 mm "
            "with another mean for faces. Patients in SRI24 space; their density is not known."
        )
        parts += [about, stages_table(found["rows"])]
    if found := latest("refine_stages"):
        about = (
            f"The stages that give posteriors, on a few of these truths (`{found['command']}`); tmcmc with "
            "`--prior store --init matches`. Outlines of these truths are cut sharply at a density. tmcmc takes "
            "voxels to err each for itself (Ezhov et al. 2021, Eqs. 5 and 6), so its intervals are too narrow here; "
            "on images that err so they hold (above)."
        )
        rows = found["rows"]
        if alike := latest("refine_alike"):
            about += f" Alike over a length: `{alike['command']}`."
            rows += [row for row in alike["rows"] if row["stage"] != "retrieval"]
        parts += [about, stages_table(rows)]
    return "".join(f"\n\n{part}" for part in parts)


def _plausibility() -> str:
    found = latest("plausibility")
    if not found:
        return ""
    about = (
        "How closely a store's best tumours meet patients, a measure of how plausible its growth model is "
        "(Ezhov et al. 2022, Fig. 3): best Dice of any tumour, means with 95 % intervals; "
        "`gliodex bench plausibility STORE... --cohort DIR`."
    )
    plot = "![Distributions of the best Dice of patients for core, whole and both.](docs/plausibility.png)"
    earlier = [plausibility_table(run["rows"]) for run in runs("plausibility")[:-1] if _stores_of(run) > 1]
    said = ["Smaller stores of the same models:"] * bool(earlier)
    return "\n\n" + "\n\n".join([about, plausibility_table(found["rows"]), plot, *said, *earlier])


def _stores_of(run: dict[str, object]) -> int:
    return len({row["store"] for row in run["rows"]})


def _solver_rows() -> list[tuple[str, str, str]]:
    rows = []
    if solver := latest("solver"):
        how = f"mean of {solver['tumours']} tumours of the prior, one core"
        rows.append(("simulating one tumour, 128³ at 2 mm", f"{solver['mean_ms']} ms", how))
        rows.append(("solver throughput", f"{solver['giga_updates_per_second']} G voxel updates/s", "the same run"))
        if "all_in_ms" in solver:
            how = f"{solver['draws']:,} draws, {solver['kept']} kept, looked at, simulated and compressed on one core"
            rows.append(("all that a kept tumour costs", f"{solver['all_in_ms']} ms", how))
    if pushing := latest("mass_effect"):
        how = f"mean of {pushing['tumours']} tumours of a store, one core: "
        how += f"{pushing['ratio_of_means']:.0f} times the {pushing['mean_ms_without']} ms without"
        rows.append(("simulating one tumour with mass effect", f"{pushing['mean_ms']:.0f} ms", how))
        low, middle, high, most = pushing["displacement_mm"].values()
        figure = f"{middle} mm ({low} to {high}), at most {most} mm"
        rows.append(("how far tissue is pushed, at most in each: median (90 %)", figure, "the same"))
        whole, core = pushing["rows"]["default"]
        how = f"{pushing['converged']} tumours against 100 pushes, shorter steps, a tighter tolerance; the same cells"
        what = "agreement with more steps, mass effect"
        rows.append((what, f"Dice {whole:.3f} at 0.2, {core:.3f} at 0.6", how))
    if bias := latest("preview_bias"):
        what = "draws lost by early rejection"
        figure = f"{bias['lost']} of {bias['kept_by_simulation']:,} (95 % at most {bias['lost_share_upper_95']:.1%})"
        rows.append((what, figure, f"{bias['draws']:,} draws"))
    if bias := latest("preview_bias_mass_effect"):
        what = "draws lost by early rejection, mass effect"
        figure = f"{bias['lost']} of {bias['kept_by_simulation']:,} (95 % at most {bias['lost_share_upper_95']:.1%})"
        rows.append((what, figure, f"{bias['draws']:,} draws"))
    for name in ("build", "build_mass_effect", "build_large"):
        if build := latest(name):
            how = f"{build['workers']} processes, indexed"
            if "peak_memory_gb" in build:
                how = f"`{build['command']}`, indexed and verified, {build['peak_memory_gb']} GB of memory"
            what = f"building a store of {build['tumours']:,}" + ", mass effect" * name.endswith("mass_effect")
            rows.append((what, f"{build['minutes']} min", how))
    if convergence := latest("convergence"):
        default = convergence["rows"][0]
        figure = f"Dice {default['dice_0.2']:.3f} at 0.2, {default['dice_0.6']:.3f} at 0.6"
        how = f"{convergence['tumours']} tumours against 1 mm and a quarter of the time step"
        rows.append(("agreement with a finer simulation", figure, how))
    return rows


def _search_rows() -> list[tuple[str, str, str]]:
    rows = []
    for name in ("search", "search_large"):
        if search := latest(name):
            how = f"{search['queries']} queries, one core, warm"
            figure = f"{search['median_ms']} ms median, {search['p99_ms']} ms p99"
            rows.append((f"exact search of {search['tumours']:,} tumours", figure, how))
            if "batch_per_second" in search:
                how = f"100 at once, {search['batch_threads']} cores"
                rows.append((f"searches of {search['tumours']:,} tumours", f"{search['batch_per_second']}/s", how))
            rows.append(
                ("first answer of a cold process", f"{search['cold_process_s']} s", "median of 5, imports counted")
            )
    if found := latest("thresholds"):
        how = f"{found['queries']} queries, {found['threads']} cores; brute force {found['brute_force_s_a_query']} s"
        figure = f"{found['median_ms']} ms median, {found['p99_ms']} ms p99"
        rows.append((f"search of {found['tumours']:,} tumours and all thresholds", figure, how))
    if search := latest("search"):
        disk = f"{search['store_bytes_per_tumour']:,} bytes store, {search['index_bytes_per_tumour']:,} index"
        rows.append(("disk a tumour", disk, f"{search['tumours']:,} tumours"))
    for name in ("accuracy", "accuracy_large"):
        if found := latest(name):
            low, high = found["interval_95"]
            what = f"mean best Dice sum of held-out simulations, {found['tumours']:,} tumours"
            figure = f"{found['mean_best_dice_sum']:.2f} of 2 (95 % {low:.2f} to {high:.2f})"
            rows.append((what, figure, f"{found['unseen']:,} draws of the prior"))
    return rows


def _service_rows() -> list[tuple[str, str, str]]:
    if not (found := latest("service")):
        return []
    sent = f"{found['searches']:,} in {found['seconds']:g} s, {found['failed']} failed"
    rows = [
        (
            f"searches over HTTP, {found['tumours']:,} tumours, {found['per_second']:g} a second",
            f"{found['median_ms']} ms median, {found['p99_ms']} ms p99",
            f"{sent}; asked from another process on the same {found['cores']} cores",
        ),
        ("service, start to ready", f"{found['ready_s']} s", "imports counted"),
    ]
    if "jobs" in found:
        figure = f"{found['jobs_done']} done in {found['jobs_s']} s, {found['memory_gb']} GB at most"
        rows.append((f"{found['jobs']} queries with registration, queued at once", figure, "one worker; all processes"))
    if page := latest("page"):
        rows.append(
            (
                "page in headless Chromium without a graphics card",
                f"painted after {page['first_paint_s']} s, an answer {page['drawn_after_end_s']} s after it is there",
                f"medians of {page['times']}; {page['drawn_from_link_s']} s from its link, nothing loaded before",
            )
        )
    return rows


def _set_rows() -> list[tuple[str, str, str]]:
    if not (found := latest("set_similarity")):
        return []
    systems = found["systems"]
    names = {
        "gliodex, 1 item a block": "",
        "scipy, sparse product": "scipy's sparse product ",
        "usearch, exact, Jaccard": "usearch (exact, Jaccard) ",
        "FAISS, Hamming, 1000 ranked by Dice": "FAISS (Hamming, 1,000 re-ranked) ",
    }
    times = "; ".join(
        f"{said}{systems[name]['median_ms']:.2f} ms"
        + (f", recall {systems[name]['recall_at_10']:.2f}" if systems[name]["recall_at_10"] < 1 else "")
        for name, said in names.items()
    )
    how = f"median of {found['held_out_queries']} queries, one core; sets generated after kosarak's statistics"
    return [(f"the 10 of {found['sets']:,} sets most like one by Dice, blocks of one item", times, how)]


def _patient_rows() -> list[tuple[str, str, str]]:
    rows = []
    whats = {
        "patients": "mean Dice sum in the patient",
        "patients_fixed": "the same with a smaller store",
        "patients_thresholds": "with it and `--thresholds search`",
        "patients_local": "with it and `--refine local`",
        "patients_lmi": "with it and `--refine lmi`",
        "patients_local_atlas": "with it and `--refine local --simulation-space atlas`",
        "patients_fast": "those with T1, default registration",
        "patients_syn": "the same with `syn`",
    }
    for name, what in whats.items():
        if found := latest(name):
            low, high = found["interval_95"]
            figure = f"{found['mean_dice_sum_patient_space']:.2f} of 2 (95 % {low:.2f} to {high:.2f})"
            how = f"{found['patients']} patients, {found['registered']} with T1, {found['tumours']:,} tumours"
            rows.append((what, figure, how))
            if found["registered"] == found["patients"]:
                times = f"{found['seconds_with_t1']:.0f} s, registration {found['of_these_registration']:.0f} s"
                rows.append(("from files to report", times, f"median of {found['registered']}"))
            else:
                others = found["patients"] - found["registered"]
                rows.append(
                    ("from files to report without MRI", f"{found['seconds_without_mri']:.1f} s", f"median of {others}")
                )
    return rows


def _posterior_rows() -> list[tuple[str, str, str]]:
    rows = []
    if found := latest("calibration"):
        what = "ranks of true parameters among posterior samples, tmcmc: smallest p of 11 chi-squared tests of evenness"
        how = f"{found['observations']} simulated observations with PET, {found['samples']} samples a stage"
        rows.append((what, f"{found['smallest_p']:.2f}", how))
        if "coverage" in found:
            mean, low, high = found["coverage"]
            what = "voxels whose density lies in its 90 % interval, tmcmc"
            rows.append((what, f"{mean:.1%} (95 % {low:.1%} to {high:.1%})", "the same"))
    if found := latest("tmcmc"):
        for name, run in found["runs"].items():
            figure = f"{run['seconds'] / 60:.1f} min, {run['evaluations']:,} simulations"
            figure += f", evidence e^{run['log_evidence']:,.0f}"
            how = f"one patient's outlines, {found['samples']:,} samples a stage, Ezhov et al.'s (2021) prior"
            rows.append((f"tmcmc from the {name}", figure, how))
    if found := latest("neural"):
        how = (
            f"the synthetic case of Ezhov et al. (2019) {found['repeats']} times, {found['simulations']:,} simulations"
        )
        how += " in 4 rounds"
        figure = f"{found['truth_in_90']} of {found['repeats']}, in {found['seconds']:.0f} s each"
        rows.append(("npe: truth within the 90 % region", figure, how))
        figure = f"{found['later_volume_in_90']} of {found['repeats']}"
        rows.append(("volume of day 11 within the 90 % band foretold on day 9", figure, "the same"))
        for share in (50, 90):
            low, high = found[f"coverage_{share}_interval"]
            figure = f"{found[f'coverage_{share}']:.1%} (95 % {low:.1%} to {high:.1%})"
            rows.append((f"truths within their {share} % region", figure, f"{found['held_out']:,} held-out truths"))
    if found := latest("two_methods"):
        each = ", ".join(f"{row['c2st']:.2f}" for row in found["repeats"])
        how = (
            f"one observation; npe {found['simulations']:,} simulations in {found['rounds']} rounds, tmcmc "
            f"{found['sampler_evaluations']:,}; 0.5 where they are alike"
        )
        rows.append(("npe told from tmcmc by a classifier (C2ST)", each, how))
    return rows


if __name__ == "__main__":
    text = README.read_text()
    before, rest = text.split(BEGIN)
    README.write_text(f"{before}{BEGIN}\n{figures()}\n{END}{rest.split(END)[1]}")
