"""Pickles of what patsy learned, which patsy itself refuses to make."""

import io
import pickle
from types import ModuleType
from typing import Any

import patsy


class _Pickler(pickle.Pickler):
    """Pickles what patsy refuses to: the plain objects a DesignInfo is made of."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            return _module, (obj.__name__,)
        if isinstance(obj, patsy.EvalEnvironment):
            names = {k: v for space in reversed(obj._namespaces) for k, v in dict(space).items()}
            return patsy.EvalEnvironment, (
                [{k: v for k, v in names.items() if _portable(v)}],
                obj.flags,
            )
        if type(obj).__module__.startswith("patsy.") and hasattr(obj, "__dict__"):
            return _blank, (type(obj),), obj.__dict__
        return NotImplemented


def _module(name: str) -> ModuleType:
    return __import__(name, fromlist=["_"])


def _blank(cls: Any) -> Any:
    return cls.__new__(cls)


def dump(obj: Any) -> bytes | None:
    """The pickle of an object; None where it holds something that cannot be saved."""
    buffer = io.BytesIO()
    try:
        _Pickler(buffer).dump(obj)
    except Exception:
        return None
    return buffer.getvalue()


def _portable(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return True
    return not hasattr(value, "__patsy_stateful_transform__") and dump(value) is not None
