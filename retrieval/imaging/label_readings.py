"""Which convention a label map follows: each that could be is a hypothesis, tested by how the labels lie.

Measured on 29 patients with expert labels (docs/labels.md): oedema is more exposed to healthy tissue than the rest by
0.22 or more in 28 of them, and no other label ever by more than 0.01; in a T1c enhancing tumour shines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from ...errors import InputError
from ...store.nifti import Image
from .conventions import CONVENTIONS, CORE_TISSUES, Convention, Tissue, named_by_files
from .label_geometry import LabelGeometry, measure
from .label_values import LabelMap, listed

_OUTWARD = 0.15  # exposure: oedema 0.22 or more in 28 of 29 patients, what is taken for it by mistake 0.01 or less
_ENCLOSED = 0.6  # share of a surface: necrosis by enhancing tumour 0.85 or more in 26 of 28 patients
_COVERED = 0.3
_APART = 0.1
_RIM_MM = 6.5  # thickness: 19 of 22 enhancing rims on 1 ml of necrosis or more are thinner, 19 of 29 oedemas thicker
BRIGHT, _PLAIN, _DARK = 1.8, 1.2, -1.2  # robust deviations in T1c: enhancing tumour 3.0 to 6.1, the rest -1.0 to 0.8


class Verdict(IntEnum):
    """What geometry says of a reading."""

    FAILS = 0
    UNCLEAR = 1
    POSSIBLE = 2
    HOLDS = 3


@dataclass(frozen=True)
class Reading:
    """A label map read by a convention.

    Args:
        convention: the hypothesis.
        core, whole: labels of each mask.
        verdict: what geometry says.
    """

    convention: Convention
    core: tuple[int, ...]
    whole: tuple[int, ...]
    verdict: Verdict

    def described(self, labels: LabelMap) -> str:
        """Name, labels and volumes of both masks."""
        return f"{self.convention.name} ({masks_in_words(labels, self.core, self.whole)})"


@dataclass(frozen=True)
class Choice:
    """The reading that was taken.

    Args:
        reading: it.
        rivals: readings with other masks that are less usual but cannot be ruled out, or that the file's name speaks
            of.
    """

    reading: Reading
    rivals: tuple[Reading, ...]


def masks_in_words(labels: LabelMap, core: Sequence[int], whole: Sequence[int]) -> str:
    """Labels and volumes of both masks: `core 1+4 52.0 ml, whole 1+2+4 137.9 ml`."""
    parts = []
    for name, values in (("core", core), ("whole", whole)):
        volume = sum(labels.counts.get(v, 0) for v in values) * labels.frame.voxel_ml
        parts.append(f"{name} {'+'.join(map(str, values))} {volume:.1f} ml" if values else f"{name} none")
    return ", ".join(parts)


def choose(labels: LabelMap, path: Path, t1c: Image | None = None) -> Choice:
    """Find the convention that a label map follows.

    Args:
        labels: the map.
        path: its file, whose name may tell, and for messages.
        t1c: T1 after contrast, to test brightness.

    Raises:
        InputError: it is one label alone, of no convention, or could be read in several ways.
    """
    main = tuple(v for v in labels.present if v not in labels.strays)
    if len(main) == 1:
        raise InputError(
            f"{path} holds one label alone ({main[0]})",
            hint="if it is the whole tumour, say ‹core_labels=none›, or give its core and whole "
            "as two masks with ‹core_mask› and ‹whole_mask›",
            parameter="core_labels",
        )
    readings = candidates(labels, path, t1c)
    if not readings:
        raise InputError(
            f"{path} holds labels {listed(labels.present)}, as no known convention has them",
            hint="say which are core and which whole tumour with ‹core_labels› and ‹whole_labels›",
        )
    best = _best_by_masks(_weighed(readings, main), main)
    holding = [reading for reading in best if reading.verdict is Verdict.HOLDS]
    open_ones = [reading for reading in best if reading.verdict is Verdict.UNCLEAR]
    possible = [reading for reading in best if reading.verdict is Verdict.POSSIBLE]
    if not holding and not open_ones and len(possible) == 1:
        return Choice(possible[0], ())
    if len(holding) == 1 and not open_ones:
        named = [r for r in best if r.convention in named_by_files(path) and r.verdict is Verdict.FAILS]
        return Choice(holding[0], (*possible, *named))
    raise InputError(_refusal(labels, path, holding + open_ones or possible or best))


def candidates(labels: LabelMap, path: Path, t1c: Image | None = None) -> tuple[Reading, ...]:
    """Read a map by every convention that has its labels, strays apart.

    Those that the file's name speaks of stand alone, unless the labels lie otherwise.
    """
    main = tuple(v for v in labels.present if v not in labels.strays)
    if any(v not in _KNOWN for v in labels.present):
        return ()
    fitting = [known for known in CONVENTIONS.values() if set(main) <= set(known.meanings)]
    if not fitting:
        return ()
    geometry = measure(labels, t1c)
    readings = tuple(
        Reading(known, known.core(labels.present), known.whole(labels.present), judge(known, main, geometry))
        for known in fitting
    )
    named = named_by_files(path)
    spoken_of = tuple(reading for reading in readings if reading.convention in named)
    return spoken_of if any(reading.verdict is not Verdict.FAILS for reading in spoken_of) else readings


_KNOWN = frozenset(value for known in CONVENTIONS.values() for value in known.meanings)


def judge(known: Convention, labels: Sequence[int], geometry: LabelGeometry) -> Verdict:
    """Test whether labels lie, and shine, as a convention says.

    Args:
        known: the convention.
        labels: two or more that it has.
        geometry: of the map.
    """
    meanings = {value: known.meanings[value] for value in labels}
    if Tissue.OEDEMA in meanings.values():
        verdict = _around(meanings, geometry)
    else:
        verdict = _without_oedema(meanings, geometry, known.often_no_oedema)
    verdict = min(verdict, _hollows(meanings, geometry), _necrosis(meanings, geometry))
    return _by_brightness(meanings, geometry, verdict)


def _of(meanings: Mapping[int, Tissue], *tissues: Tissue) -> list[int]:
    return [value for value, tissue in meanings.items() if tissue in tissues]


def _around(meanings: Mapping[int, Tissue], geometry: LabelGeometry) -> Verdict:
    """Oedema lies around the rest, not within it nor between two other labels."""
    oedema = _of(meanings, Tissue.OEDEMA)
    rest = [value for value in meanings if value not in oedema]
    if any(_between(oedema[0], a, b, geometry) for a in rest for b in rest):
        return Verdict.FAILS
    outward = geometry.outwardness(oedema, rest)
    if outward >= _OUTWARD or any(_between(m, a, oedema[0], geometry) for a in rest for m in rest):
        return Verdict.HOLDS
    return Verdict.FAILS if outward <= -_OUTWARD else Verdict.UNCLEAR


def _between(middle: int, inner: int, outer: int, geometry: LabelGeometry) -> bool:
    """Whether one label parts an inner from an outer one, which hardly touch."""
    return (
        len({middle, inner, outer}) == 3
        and max(geometry.enclosure(inner, outer), geometry.enclosure(outer, inner)) <= _APART
        and geometry.enclosure(inner, middle) >= _ENCLOSED
        and geometry.enclosure(outer, middle) >= _APART
        and geometry.exposure([outer]) > geometry.exposure([middle])
    )


def _without_oedema(meanings: Mapping[int, Tissue], geometry: LabelGeometry, usual: bool) -> Verdict:
    """Judge a reading without oedema: its outermost label must be enhancing tumour, as a rim round necrosis is.

    Where such readings are usual, a thick layer is rather oedema, and non-enhancing tumour may lie outermost.
    """
    outer = max(meanings, key=lambda v: geometry.outwardness([v], [w for w in meanings if w != v]))
    rest = [value for value in meanings if value != outer]
    tissue = meanings[outer]
    if tissue in (Tissue.CYST, Tissue.CAVITY):
        return Verdict.FAILS if geometry.outwardness([outer], rest) >= _OUTWARD else Verdict.POSSIBLE
    if tissue is Tissue.ENHANCING:
        thick = usual and geometry.thickness(outer, rest) > _RIM_MM
        return Verdict.POSSIBLE if thick else Verdict.HOLDS
    return Verdict.HOLDS if usual and Tissue.ENHANCING in meanings.values() else Verdict.POSSIBLE


def _hollows(meanings: Mapping[int, Tissue], geometry: LabelGeometry) -> Verdict:
    """Test cysts and cavities: neither encloses tumour core, but enhancing tumour may line a cavity or enclose a cyst.

    A cavity without enhancing tumour is unusual.
    """
    cysts, cavities = _of(meanings, Tissue.CYST), _of(meanings, Tissue.CAVITY)
    solid = [value for value, tissue in meanings.items() if tissue in CORE_TISSUES and value not in cysts]
    lining = _of(meanings, Tissue.ENHANCING)
    shares = [
        geometry.enclosure(value, cyst)
        for value in solid
        for cyst in cysts
        if geometry.enclosure(cyst, value) < _ENCLOSED
    ]
    shares += [geometry.enclosure(value, cavity) for value in solid if value not in lining for cavity in cavities]
    covered = max(shares, default=0.0)
    if covered >= _ENCLOSED:
        return Verdict.FAILS
    return Verdict.POSSIBLE if covered >= _COVERED or (cavities and not lining) else Verdict.HOLDS


def _necrosis(meanings: Mapping[int, Tissue], geometry: LabelGeometry) -> Verdict:
    """Necrosis lies within enhancing tumour, not within tumour that does not enhance."""
    within = [
        geometry.enclosure(dead, dull)
        for dead in _of(meanings, Tissue.NECROSIS)
        for dull in _of(meanings, Tissue.NON_ENHANCING)
    ]
    return Verdict.FAILS if max(within, default=0.0) >= _ENCLOSED else Verdict.HOLDS


def _by_brightness(meanings: Mapping[int, Tissue], geometry: LabelGeometry, verdict: Verdict) -> Verdict:
    """Enhancing tumour is the brightest label of a T1c, and a cavity is dark.

    Where no label is enhancing tumour, the core may hold it, and brightness tells of cavities alone.
    """
    shine = {value: geometry.brightness[value] for value in meanings if value in geometry.brightness}
    if len(shine) < len(meanings):
        return verdict
    enhancing, cavities = _of(meanings, Tissue.ENHANCING), _of(meanings, Tissue.CAVITY)
    brightest = max(shine, key=shine.__getitem__)
    shining = shine[brightest] >= BRIGHT
    lit = enhancing or [value for value, tissue in meanings.items() if tissue in CORE_TISSUES]
    if shining and (brightest not in lit or any(shine[value] < _PLAIN for value in enhancing)):
        return Verdict.FAILS
    if any(shine[value] <= _DARK for value in enhancing) or any(shine[value] >= BRIGHT for value in cavities):
        return Verdict.FAILS
    if cavities and all(shine[value] <= _DARK for value in cavities) and verdict is Verdict.POSSIBLE:
        return Verdict.HOLDS
    return Verdict.HOLDS if verdict is Verdict.UNCLEAR and enhancing and shining else verdict


def _weighed(readings: Iterable[Reading], main: Sequence[int]) -> list[Reading]:
    """Rank a convention that has lost its oedema below one of which every label occurs and lies as it should."""
    given = list(readings)
    complete = any(r.verdict is Verdict.HOLDS and set(r.convention.meanings) == set(main) for r in given)
    return [
        replace(r, verdict=Verdict.POSSIBLE)
        if complete and r.verdict is Verdict.HOLDS and not r.convention.often_no_oedema and _lost_oedema(r, main)
        else r
        for r in given
    ]


def _lost_oedema(reading: Reading, main: Sequence[int]) -> bool:
    return all(reading.convention.meanings[value] is not Tissue.OEDEMA for value in main)


def _best_by_masks(readings: Iterable[Reading], main: Sequence[int]) -> list[Reading]:
    """Of readings that give the same masks, strays apart, the one that geometry supports most."""
    best: dict[tuple[frozenset[int], frozenset[int]], Reading] = {}
    for reading in readings:
        masks = frozenset(reading.core) & set(main), frozenset(reading.whole) & set(main)
        if masks not in best or reading.verdict > best[masks].verdict:
            best[masks] = reading
    return list(best.values())


def _refusal(labels: LabelMap, path: Path, readings: Sequence[Reading]) -> str:
    if all(reading.verdict is Verdict.FAILS for reading in readings):
        names = ", ".join(reading.convention.name for reading in readings)
        return (
            f"{path}: its labels {listed(labels.present)} do not lie as {names} would have them: say which are core "
            f"and which whole tumour with ‹core_labels› and ‹whole_labels›, or name their convention with ‹labels›"
        )
    options = " or ".join(f"‹labels={reading.convention.name}›" for reading in readings)
    ways = ", or as ".join(reading.described(labels) for reading in readings)
    return (
        f"{path}: its labels can be read as {ways}: say which with {options}, or with ‹core_labels› and ‹whole_labels›"
    )
