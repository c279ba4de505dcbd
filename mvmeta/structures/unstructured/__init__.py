"""Any covariance matrix (UN), as the square of a free triangular factor."""

from mvmeta.structures.unstructured.structure import Unstructured

__all__ = ["Unstructured"]
