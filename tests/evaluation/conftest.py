"""The store and the query of the tests of retrieval, for what measures them."""

from ..retrieval.conftest import asked, brain_store, patient_files, right_tumour

__all__ = ["asked", "brain_store", "patient_files", "right_tumour"]
