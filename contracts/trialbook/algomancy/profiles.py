"""Which profile a stack serves: one by name, an installed package's, or a user's own module or file."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from trialbook.algomancy.authoring import Profile, ProfileError

GROUP = "trialbook.algomancy"
DEFAULT = "slotting"
ATTRIBUTE = "profile"
# Spelled as text: this package knows nothing of the bundled ones.
BUNDLED = {
    "slotting": "trialbook_algomancy.slotting:profile",
    "conformance": "trialbook_algomancy.conformance:profile",
    "tours": "trialbook_algomancy.tours:profile",
    "facilities": "trialbook_algomancy.facilities:profile",
}


def load_profile(name: str = DEFAULT) -> Profile:
    """The profile of that name. Raises ``ProfileError`` that says what is wrong with it.

    ``name`` is a bundled name; an entry point of the group ``trialbook.algomancy``; ``package.module`` or
    ``package.module:attribute``; or a file, ``path/to/mine.py`` or ``path/to/mine.py:attribute``. Without an
    attribute it is ``profile``.
    """
    place = BUNDLED.get(name) or _installed().get(name) or name
    module_name, _, attribute = place.partition(":")
    if not module_name:
        raise _unknown(name)
    module = _import_file(Path(module_name)) if module_name.endswith(".py") else _import(name, module_name)
    attribute = attribute or ATTRIBUTE
    found = getattr(module, attribute, None)
    if found is None:
        raise ProfileError(f"Profile {name!r}: {module_name} has no {attribute!r}; write `{attribute} = Profile(...)`.")
    if not isinstance(found, Profile):
        raise ProfileError(f"Profile {name!r}: {attribute!r} of {module_name} is a {type(found).__name__}, no Profile.")
    return found


def _installed() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def _import(name: str, module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(error.name + ".")):
            raise ProfileError(
                f"Profile {name!r} needs the module {error.name!r}, which is not installed. "
                "The bundled profiles need the extra: pip install 'trialbook[algomancy]'."
            ) from error
        raise _unknown(name) from error
    except Exception as error:  # a user's module may raise anything
        raise _broken(name, error) from error


@cache  # once per process, as modules are: processes forked later may have another current directory
def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ProfileError(f"Profile {str(path)!r}: there is no such file in {Path.cwd()}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, path
    assert spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # where dataclasses and pickles of the file look for their module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[path.stem]
        raise _broken(str(path), error) from error
    return module


def _unknown(name: str) -> ProfileError:
    known = ", ".join([*BUNDLED, *_installed()])
    return ProfileError(
        f"Unknown profile {name!r}. Known: {known}; or give a module on the Python path, or a file: ./mine.py."
    )


def _broken(name: str, error: Exception) -> ProfileError:
    return ProfileError(f"Profile {name!r} cannot be loaded: {type(error).__name__}: {error}")
