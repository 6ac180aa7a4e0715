"""Preloaded before packages that import matplotlib and draw nothing here: it wants to write, and takes five seconds."""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGES = ("matplotlib", "mpl_toolkits")


class _Nothing(ModuleType):
    """A module in which every name exists and none does anything."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _InItsPlace(MetaPathFinder, Loader):
    """Finds matplotlib, its toolkits and whatever is said to be in them."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        mine = fullname.split(".")[0] in _PACKAGES
        return ModuleSpec(fullname, self, is_package=True) if mine else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Nothing(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


if "matplotlib" not in sys.modules:
    sys.meta_path.insert(0, _InItsPlace())
