"""The growth models that a store may be built with: by name, and by a store's record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..store.atlas import Atlas
from ..store.reader import TumorStore
from .fisher_kolmogorov import FisherKolmogorov
from .growth import GrowthModel
from .mass_effect import MASS_EFFECT, MassEffect, MassEffectSettings
from .prior import MASS_EFFECT_PA, Prior
from .settings import FisherKolmogorovSettings

ModelSettings = FisherKolmogorovSettings | MassEffectSettings
"""Choices of one of the models."""

MODELS: dict[str, type[FisherKolmogorovSettings] | type[MassEffectSettings]] = {
    "fk": FisherKolmogorovSettings,
    "mass-effect": MassEffectSettings,
}
"""By the name that a user gives."""


def model_in(atlas: Atlas, settings: ModelSettings) -> GrowthModel:
    """Make the solver of a model for an anatomy."""
    if isinstance(settings, MassEffectSettings):
        return MassEffect(atlas, settings)
    return FisherKolmogorov(atlas, settings)


def model_of(store: TumorStore, instead: str, atlas: Atlas | None = None) -> GrowthModel:
    """Make the solver of the model that a store was built with.

    Args:
        store: whose.
        instead: what the user can do where this version cannot simulate it.
        atlas: anatomy to grow in; the store's own by default.

    Raises:
        InputError: the store was built with another model, or another version of one.
    """
    return model_in(atlas or store.atlas, settings_of(store.manifest.model, store.path, instead))


def settings_of(
    record: dict[str, object], store: str | Path, instead: str, *, same_bits: bool = False
) -> ModelSettings:
    """Choices of the model in a store's record.

    Args:
        record: of the model.
        store: path, for the error.
        instead: see `model_of`.
        same_bits: see `FisherKolmogorovSettings.from_record`.

    Raises:
        InputError: see `model_of`.
    """
    known = MassEffectSettings if pushes(record) else FisherKolmogorovSettings
    return known.from_record(record, store, instead, same_bits=same_bits)


def equal_to_rounding(one: dict[str, object], other: dict[str, object]) -> bool:
    """Whether the models in two records have the same choices, and versions whose densities differ by rounding alone.

    A network that learned from one stands in for the other, too.
    """
    try:
        return settings_of(one, "", "") == settings_of(other, "", "")
    except InputError:  # of a version that is not known here
        return one == other


def pushes(record: dict[str, object]) -> bool:
    """Whether the model in a store's record has a mass effect."""
    return str(record.get("model")).startswith(MASS_EFFECT)


def described(record: dict[str, object]) -> str:
    """Name the model in a store's record, as tables call it."""
    return f"{record['model']}{', as published' if record.get('form') == 'as_published' else ''}"


def without_mass_effect(settings: ModelSettings) -> FisherKolmogorovSettings:
    """Choices of what grows and spreads."""
    return settings.growth if isinstance(settings, MassEffectSettings) else settings


def prior_for(settings: ModelSettings, prior: Prior) -> Prior:
    """Give a prior the range of mass effects that a model wants, where it names none.

    Raises:
        InputError: it names one for a model that has none, or one beyond what the model can take.
    """
    if isinstance(settings, FisherKolmogorovSettings):
        if prior.mass_effect is not None:
            raise InputError(
                "the Fisher-Kolmogorov model has no mass effect", hint="leave its range out, or choose the model"
            )
        return prior
    low, high = prior.mass_effect or MASS_EFFECT_PA
    settings.check(high)
    return replace(prior, mass_effect=(low, high))
