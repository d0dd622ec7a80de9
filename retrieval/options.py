"""All options of a query, declared once: the command line, HTTP, Python and the reference pages read them here.

They are `PatientFiles`, `QueryOptions`, and the options of the refinement method (`refinement.refinement_options`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ValidationInfo

from ..errors import InputError
from ..index.index_names import FaissIndex, IndexName, MetricName
from .imaging.choices import Labels, Method, Space, Strip, labels_of
from .imaging.conventions import CONVENTIONS
from .option_declaration import declared, fields_of, option
from .refinement.refinement_options import METHODS, RefinementOptions

PATIENT, REGISTRATION, SEARCH, REFINEMENT = "Patient", "Registration", "Search", "Refinement"


def _labels(given: object, info: ValidationInfo) -> object:
    if isinstance(given, int) and not isinstance(given, bool):
        return (given,)
    return labels_of(info.field_name or "", given) if isinstance(given, str) else given


LabelSet = Annotated[Labels, BeforeValidator(_labels)]
"""Labels: numbers or names, as a tuple or as text with commas."""


@declared()
class PatientFiles:
    """Files of one patient."""

    seg: Path | None = option(
        default=None,
        description="Segmentation: NIfTI, NRRD (.seg.nrrd), MetaImage, MGZ, DICOM-SEG, or channels of one.",
        panel=PATIENT,
    )
    core_mask: Path | None = option(default=None, description="Core mask, instead of a segmentation.", panel=PATIENT)
    whole_mask: Path | None = option(default=None, description="Whole-tumor mask, with the core mask.", panel=PATIENT)
    t1: Path | None = option(
        default=None,
        description="T1 to register to the atlas, a file or a DICOM series. Its header says which side is left.",
        panel=REGISTRATION,
    )
    t1c: Path | None = option(
        default=None,
        description="T1 with contrast, registered if there is no T1; its brightness distinguishes labels.",
        panel=REGISTRATION,
    )
    seg_on: Path | None = option(
        default=None,
        description="Scan that the segmentation was drawn on, if not the T1: both are registered rigidly.",
        panel=REGISTRATION,
    )
    wm: Path | None = option(
        default=None,
        description="Map of the patient's own white matter, with gm: refinement simulates there.",
        panel=PATIENT,
    )
    gm: Path | None = option(default=None, description="Map of gray matter, filled in under the tumor.", panel=PATIENT)
    pet: Path | None = option(
        default=None,
        description="FET-PET from 0 to 1 on the segmentation's grid, 0 where unknown (tmcmc).",
        panel=PATIENT,
    )


@declared()
class QueryOptions:
    """Options of a query, besides the files."""

    labels: str | None = option(
        default=None,
        description=f"What the labels mean: {', '.join(CONVENTIONS)}. (default: found out)",
        panel=PATIENT,
        metavar="NAME",
    )
    core_labels: LabelSet = option(
        default=None,
        description="Labels of the T1Gd core, numbers or names, instead; `none` for no core.",
        panel=PATIENT,
        metavar="LABELS",
        text=True,
    )
    whole_labels: LabelSet = option(
        default=None,
        description="Labels of the whole (FLAIR) tumor, with those of the core.",
        panel=PATIENT,
        metavar="LABELS",
        text=True,
    )
    space: Space | None = option(
        default=None,
        description="Space of the segmentation, if there is no MRI: adult BraTS cases are in sri24 up to 2023, in "
        "mni152 since.",
        panel=REGISTRATION,
    )
    transform: Path | None = option(
        default=None, description="`transform` folder of an earlier query, to reuse it.", panel=REGISTRATION, local=True
    )
    strip: Strip = option(
        default="auto",
        description="Remove the skull: if there is one; never; with deepbet's network; by registration.",
        panel=REGISTRATION,
    )
    n4: bool = option(default=False, description="Correct the bias field of the T1 first (N4).", panel=REGISTRATION)
    reorient: str | None = option(
        default=None,
        description="Directions of the T1's voxel axes, such as LPS, whatever the headers say.",
        panel=REGISTRATION,
        metavar="CODE",
    )
    registration: Method = option(
        default="fast", description="fast; syn: the settings of Ezhov et al. (2022, 2023); affine.", panel=REGISTRATION
    )
    registration_seed: int = option(
        default=1, description="Random seed of the registration.", panel=REGISTRATION, ge=0, le=2**31 - 1
    )
    threads: int | None = option(
        default=None,
        description="Threads of the registration; all cores by default.",
        panel=REGISTRATION,
        local=True,
        ge=1,
    )
    index: IndexName = option(
        default="dice", description="Representation that is searched; dice is exact.", panel=SEARCH, metavar="INDEX"
    )
    metric: MetricName = option(
        default="dice",
        description="What ranks, summed over core and whole. hausdorff (95 %) and bernoulli rank only the best by Dice "
        "or index.",
        panel=SEARCH,
        metavar="METRIC",
    )
    thresholds: Literal["fixed", "search"] | None = option(
        default=None,
        description="fixed: the store's; search: find the tumor and both thresholds together. (default: search for "
        "lmi, else fixed; refinement estimates them again unless fixed is given)",
        panel=SEARCH,
    )
    include_folded: bool = option(
        default=False,
        description="Search simulations whose deformation is not invertible, too (mass effect).",
        panel=SEARCH,
    )
    rerank: int = option(
        default=0,
        description="Rerank so many of the best by exact Dice, or by metric. (default: 0; 200 for hausdorff and "
        "bernoulli)",
        panel=SEARCH,
        metavar="N",
        ge=0,
        le=100_000,
    )
    faiss_index: FaissIndex = option(
        default="flat", description="FAISS index for ae and vae: flat (exhaustive), ivf or hnsw.", panel=SEARCH
    )
    device: Literal["cpu", "cuda"] = option(
        default="cpu", description="Where ae, vae and hash search, and a surrogate runs.", panel=SEARCH, local=True
    )
    top_k: int = option(default=15, description="How many matches to list.", panel=SEARCH, ge=1, le=10_000)
    one_per_simulation: bool = option(
        default=False, description="List only the best tumor of each simulation.", panel=SEARCH
    )
    scheduler: str | None = option(
        default=None,
        description="Dask cluster that searches; its workers must see the store.",
        panel=SEARCH,
        metavar="tcp://...",
        local=True,
    )
    keep: bool = option(
        default=False, description="Add what refinement found to the store.", panel=REFINEMENT, local=True
    )


@dataclass(frozen=True)
class FlatOption:
    """One option as a face shows it.

    Args:
        name: As in Python.
        annotation: Its type.
        default: Value where it is not given.
        description: As a sentence.
        panel: Heading to list it under.
        metavar: What stands for its value in help, if not its type.
        text: Whether it is given as text, which the model reads.
        local: Whether it is of one machine alone.
        bounds: Of its value, by the words of pydantic.
        methods: Refinement methods that it belongs to, with its default there; empty where it is of the query.
    """

    name: str
    annotation: Any
    default: Any
    description: str
    panel: str
    metavar: str | None
    text: bool
    local: bool
    bounds: Mapping[str, float] = field(default_factory=dict)
    methods: Mapping[str, Any] = field(default_factory=dict)


def _flat(options: type, methods: Mapping[str, Any] | None = None) -> dict[str, FlatOption]:
    found = {}
    for name, declaration in fields_of(options).items():
        extra = declaration.json_schema_extra
        if not isinstance(extra, dict):
            continue
        bounds = {
            word: getattr(bound, word)
            for bound in declaration.metadata
            for word in ("ge", "le")
            if getattr(bound, word, None) is not None
        }
        found[name] = FlatOption(
            name,
            declaration.annotation,
            declaration.default,
            declaration.description or "",
            bounds=bounds,
            methods=methods or {},
            **extra,  # type: ignore[arg-type]
        )
    return found


def _of_refinement() -> dict[str, FlatOption]:
    """Options of all methods: each stands once, and without a default, which may differ between them."""
    first: dict[str, FlatOption] = {}
    defaults: dict[str, dict[str, Any]] = {}
    for method, options in METHODS.items():
        for name, one in _flat(options).items():
            first.setdefault(name, one)
            defaults.setdefault(name, {})[method] = one.default
    return {
        name: FlatOption(
            name,
            one.annotation if type(None) in getattr(one.annotation, "__args__", ()) else one.annotation | None,
            None,
            _with_methods(one.description, defaults[name]),
            one.panel,
            one.metavar,
            one.text,
            one.local,
            one.bounds,
            defaults[name],
        )
        for name, one in first.items()
    }


def _with_methods(description: str, defaults: Mapping[str, Any]) -> str:
    """Add to a description which methods an option belongs to, and its default there."""
    known = {str(default) for default in defaults.values() if default is not None}
    said = f"; default {known.pop()}" if len(known) == 1 and None not in defaults.values() else ""
    if not said and known:
        said = "; default " + ", ".join(f"{method} {default}" for method, default in defaults.items() if default)
    every = len(defaults) == len(METHODS) - 1
    return f"{description} ({'' if every else ', '.join(defaults)}{said})".replace("(; ", "(").replace(" ()", "")


REFINE = FlatOption(
    "refine",
    Literal[tuple(METHODS)],
    "none",
    "Refinement after retrieval. local: search around the best matches; tmcmc: posterior samples by transitional MCMC; "
    "npe: neural posterior estimation; lmi: a trained network, kept if it fits better than the best match.",
    REFINEMENT,
    "METHOD",
    False,
    False,
)

FILES: tuple[str, ...] = tuple(fields_of(PatientFiles))
"""Options that are files of the patient."""


def flat_options(query: type = QueryOptions) -> Mapping[str, FlatOption]:
    """List all options of a query by name, those of refinement methods beside the others.

    Args:
        query: Class whose fields are the options besides files and refinement.
    """
    own = _flat(query)
    keep = own.pop("keep")  # the last of its panel
    return {**_flat(PatientFiles), **own, "refine": REFINE, **_of_refinement(), "keep": keep}


FLAT: Mapping[str, FlatOption] = flat_options()
"""All options of a query by name."""


def split(given: Mapping[str, Any]) -> dict[str, Any]:
    """Turn options as faces have them, side by side, into fields of a query: refinement options become one value.

    Args:
        given: Options by name; None where an option of refinement is left out.

    Returns:
        The fields, with `refinement`.

    Raises:
        InputError: An option is not known, or does not belong to the refinement method, or its value cannot be used.
    """
    unknown = [name for name in given if name not in FLAT]
    if unknown:
        raise InputError(f"there is no option ‹{unknown[0]}›", hint=f"the options are {', '.join(FLAT)}")
    own = {name: value for name, value in given.items() if FLAT[name].methods and value is not None}
    method = given.get("refine", "none")
    if method == "none" and given.get("keep"):
        raise InputError("‹keep› adds what refinement found to the store", hint="name a method with ‹refine›")
    if method not in METHODS:
        raise InputError(f"‹refine={method}› is none of {', '.join(METHODS)}")
    for name in own:
        if method not in FLAT[name].methods:
            of = " or ".join(f"‹refine={one}›" for one in FLAT[name].methods)
            raise InputError(f"‹{name}› is for {of}", hint="leave it out, or choose such a method")
    refinement: RefinementOptions = METHODS[method](**own)
    rest = {name: value for name, value in given.items() if name != "refine" and not FLAT[name].methods}
    return rest | {"refinement": refinement}
