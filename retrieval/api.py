"""Personalization from Python: a store and a patient in, a `Result` out, without files in between."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np

from ..errors import InputError
from ..index import check_search
from ..store.nifti import image_of
from ..store.parameters import GrowthParameters
from ..store.reader import TumorStore, open_store
from ..store.scratch import scratch_folder
from .earlier_results import TRANSFORM_FILES
from .imaging.ants_transform import AntsMap
from .imaging.patient import Patient
from .imaging.segmentation import Segmentation
from .options import FLAT, REFINEMENT, SEARCH, FlatOption
from .outputs import as_record, posterior_record, query_files
from .personalization import Stopwatch
from .query import background_of, check_keep, find_answer, write_files
from .refinement.refinement_options import RefinementContext
from .request import QueryRequest
from .result import Answer
from .result_folder import staged_folder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

OPTIONS: dict[str, FlatOption] = {name: one for name, one in FLAT.items() if one.panel in (SEARCH, REFINEMENT)}
"""Options of `personalize`: of the search and of refinement; those of the patient are of `Patient`."""


def personalize(
    store: TumorStore | str | Path,
    patient: Patient,
    *,
    announce: Callable[[str], None] | None = None,
    **options: Any,
) -> Result:
    """Find the simulated tumor that resembles a patient's most, refine it, and warp it to the patient.

    Retrieval ranks by Dice of core and whole tumor (Ezhov et al. 2022, Eq. 3).

    Args:
        store: Store to search, or its path.
        patient: Patient, aligned with the store's atlas by `Patient.register`, `in_space` or `with_transform`.
        announce: Called with the name of each stage as it begins.
        **options: Options of the search and of refinement, such as refine="local" or top_k=5; the signature lists them.

    Returns:
        The result.

    Raises:
        InputError: An option is not known or cannot be used, or the patient is not aligned yet.
        GliodexError: The store cannot be read.
    """
    unknown = [name for name in options if name not in OPTIONS]
    if unknown:
        raise InputError(f"there is no option ‹{unknown[0]}›", hint=f"the options are {', '.join(OPTIONS)}")
    opened = store if isinstance(store, TumorStore) else open_store(str(store))
    request = QueryRequest.of(str(opened.path), Path(), options)
    check_search(
        request.index, request.metric, request.rerank, request.search_thresholds, request.faiss_index, request.device
    )
    check_keep(request, opened)
    _ = patient.spatial
    watch = Stopwatch(announce)
    with scratch_folder() as folder:
        context = RefinementContext(folder, request.thresholds != "fixed", request.device)
        refinement = request.refinement.stage(context)
        if refinement:
            refinement.check(opened)
        searched = opened.with_folded() if request.include_folded else opened
        found = find_answer(request, patient, searched, refinement, watch)
    return Result.of(found, searched, request.as_record(), watch)


personalize.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        *(one for one in inspect.signature(personalize).parameters.values() if one.name != "options"),
        *(
            inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=one.annotation)
            for one in OPTIONS.values()
        ),
    ],
    return_annotation="Result",
)


class PosteriorTable:
    """Posterior samples of growth parameters and thresholds, with weights.

    Args:
        record: Content of posterior.json.
        intervals: Mean and credible interval of each parameter.
    """

    def __init__(self, record: dict[str, Any], intervals: dict[str, dict[str, float]]) -> None:
        self.method: str = record["method"]
        self.intervals = intervals
        """Mean, lower and upper end of the 90 % credible interval of each parameter."""
        self.weights = np.asarray(record["weights"], np.float64)
        """Weights of the samples, summing up to 1."""
        self._columns = {name: np.asarray(values, np.float64) for name, values in record["numbers"].items()}

    def to_dataframe(self) -> pd.DataFrame:
        """Make a pandas DataFrame: a row for each sample, its parameters (units in their names), and its weight."""
        import pandas as pd

        return pd.DataFrame(self._columns | {"weight": self.weights})

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.weights)

    def __repr__(self) -> str:
        """Name the method and the number of samples."""
        return f"<{len(self)} posterior samples by {self.method}: {', '.join(self._columns)}>"


class Result:
    """A personalized tumor: its density in the patient, what it was chosen from, and what speaks against it.

    Made by `personalize`, or from a folder of earlier results by `load_result`.

    Args:
        record: Content of matches.json.
        posterior: Posterior samples.
        image: Makes an image by the name of its file without its ending, such as density.
        answer: What was found in this process, with the store that was searched and the times it took; None of a
            folder.
        folder: Folder of earlier results; None of what was found in this process.
    """

    def __init__(
        self,
        record: dict[str, Any],
        posterior: PosteriorTable,
        image: Callable[[str], nib.Nifti1Image],
        answer: tuple[Answer, TumorStore, Stopwatch] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.record = record
        """Content of matches.json, as plain values."""
        self.posterior = posterior
        """Posterior samples of growth parameters and thresholds."""
        self._image, self._answer, self._folder = image, answer, folder

    @classmethod
    def of(cls, answer: Answer, store: TumorStore, settings: dict[str, object], watch: Stopwatch) -> Result:
        """Make a result of what was found in this process."""
        record = json.loads(json.dumps(as_record(answer, store, settings, watch.seconds)))
        grid = answer.patient.as_filed(answer.segmentation.frame)
        arrays = {"density": answer.density, "core": answer.core, "whole": answer.whole}

        def image(name: str) -> nib.Nifti1Image:
            if name == "density_atlas":
                return image_of(answer.density_atlas, store.frame)
            return image_of(arrays[name], grid)

        table = PosteriorTable(posterior_record(answer.posterior), answer.posterior.intervals())
        return cls(record, table, image, (answer, store, watch))

    @cached_property
    def density(self) -> nib.Nifti1Image:
        """Tumor cell density, 0 to 1, on the grid of the segmentation."""
        return self._image("density")

    @cached_property
    def core(self) -> nib.Nifti1Image:
        """The model's core (density at or above its threshold) on the grid of the segmentation."""
        return self._image("core")

    @cached_property
    def whole(self) -> nib.Nifti1Image:
        """The model's whole tumor on the grid of the segmentation."""
        return self._image("whole")

    @cached_property
    def density_atlas(self) -> nib.Nifti1Image:
        """The same density on the atlas's grid."""
        return self._image("density_atlas")

    @property
    def dice(self) -> dict[str, float]:
        """Dice with the patient's masks, in the patient: core, whole, and their sum."""
        found = self.record["patient_space"]
        return {"core": found["core"], "whole": found["whole"], "sum": found["score"]}

    @property
    def parameters(self) -> GrowthParameters | None:
        """Growth parameters of the refined tumor, or else of the best match; None where they are not known."""
        refined = self.record["refinement"]
        found = refined["parameters"] if refined else self.record["matches"][0]["parameters"]
        return None if found is None else GrowthParameters.from_record(found)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the result, and against how the files were read."""
        return tuple(self.record["warnings"])

    def matches(self) -> pd.DataFrame:
        """Make a pandas DataFrame of the best matches in atlas space: a row for each, the best first."""
        import pandas as pd

        rows = [
            {name: row[name] for name in ("rank", "id", "score", "dice_core", "dice_whole")}
            | {name: value for name, value in (row["parameters"] or {}).items() if not isinstance(value, list)}
            for row in self.record["matches"]
        ]
        return pd.DataFrame(rows).set_index("rank")

    def plot(self) -> Figure:
        """Draw three planes through the tumor: outlines above, density below.

        Of a loaded result the outlines are the model's, and no scan lies behind them: a folder of results holds
        neither the scan nor the segmentation.

        Returns:
            A matplotlib Figure; no window is opened, and no backend is chosen.
        """
        from .figure import figure_of

        title = f"Dice in the patient: whole {self.dice['whole']:.2f}, core {self.dice['core']:.2f}"
        if self._answer:
            answer, store, _ = self._answer
            background, _ = background_of(answer.patient, store)
            return figure_of(answer.segmentation, answer.density, background, answer.thresholds, title)
        from ..store.frame import Frame

        core, whole = (np.asarray(image.dataobj) > 0 for image in (self.core, self.whole))
        density = np.asarray(self.density.dataobj, np.float32)
        frame = Frame(density.shape, np.asarray(self.density.affine, np.float64))
        masks = Segmentation(core, whole, frame)
        return figure_of(masks, density, np.zeros_like(density), self.record["thresholds"], title, whose="model")

    def save(self, folder: str | Path) -> Path:
        """Write the files that `gliodex query` writes: images, report, posterior.json and matches.json.

        Args:
            folder: Folder to write to; what an earlier result left there is replaced, and nothing else.

        Returns:
            The folder.

        Raises:
            InputError, OutputError: A file there is not an earlier result's, or it cannot be written.
        """
        out = Path(folder)
        if self._folder is not None:
            return self._copied(out)
        assert self._answer is not None
        answer, store, watch = self._answer
        placed = answer.patient.placed
        transform = isinstance(placed, AntsMap)
        with staged_folder(out, query_files(registers=transform)) as stage:
            if isinstance(placed, AntsMap):
                (stage / "transform").mkdir()
                for name in map(PurePosixPath, TRANSFORM_FILES):
                    if (placed.folder / name.name).is_file():  # an affine map has no warps
                        shutil.copyfile(placed.folder / name.name, stage / name)
            write_files(answer, store, self.record["settings"], stage, watch)
        return out

    def _copied(self, out: Path) -> Path:
        assert self._folder is not None
        # a record says which files there are; it may have come from anywhere, and does not say where to write
        names = {*self.record["files"]} & query_files(registers=True) | {"matches.json"}
        with staged_folder(out, query_files(registers=bool(names & set(TRANSFORM_FILES)))) as stage:
            for name in names:
                (stage / name).parent.mkdir(parents=True, exist_ok=True)
                try:
                    shutil.copyfile(self._folder / name, stage / name)
                except FileNotFoundError as error:
                    raise InputError(f"{self._folder / name} is missing", hint="run the query again") from error
        return out

    def __repr__(self) -> str:
        """Say in one line which tumor it is, and how close."""
        best, tumors = self.record["matches"][0], self.record["store"]["tumours"]
        refined = self.record["refinement"]
        how = f"refined by {refined['method']} from" if refined else "is"
        warned = f", {len(self.warnings)} warnings" if self.warnings else ""
        return f"<Result: {how} tumor {best['id']} of {tumors:,}, Dice sum {self.dice['sum']:.3f}{warned}>"


def load_result(folder: str | Path) -> Result:
    """Load a folder of results of `gliodex query` or `Result.save`; images are read when they are asked for.

    Args:
        folder: Folder with matches.json.

    Raises:
        InputError: The folder holds no result, or one that this version does not read.
    """
    folder = Path(folder)
    try:
        record = json.loads((folder / "matches.json").read_text(encoding="utf-8"))
        missing = [name for name in _NEEDED if name not in record]
        if missing:
            raise InputError(
                f"{folder / 'matches.json'} has no `{missing[0]}`, as results of a query have",
                hint="run the query again",
                parameter="folder",
            )
        table = PosteriorTable(
            json.loads((folder / "posterior.json").read_text(encoding="utf-8")),
            record["posterior"]["credible_intervals"],
        )
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(
            f"{folder} holds no result of a query ({Path(str(error.filename)).name} is missing)",
            hint="give the folder that ‹out› named",
            parameter="folder",
        ) from error
    except InputError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{folder} holds a record that cannot be read ({type(error).__name__}: {error})",
            hint="run the query again",
            parameter="folder",
        ) from error

    def image(name: str) -> nib.Nifti1Image:
        try:
            found = nib.load(folder / f"{name}.nii.gz")
        except FileNotFoundError as error:
            raise InputError(f"{folder / name}.nii.gz is missing", hint="run the query again") from error
        assert isinstance(found, nib.Nifti1Image)
        return found

    return Result(record, table, image, folder=folder)


_NEEDED = (
    "matches",
    "store",
    "settings",
    "patient_space",
    "refinement",
    "thresholds",
    "posterior",
    "warnings",
    "files",
)
"""Parts of a record that a `Result` reads."""
