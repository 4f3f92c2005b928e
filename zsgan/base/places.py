"""Paths as people write them."""

from pathlib import Path


def local_path(place: str | Path) -> Path:
    """A path as a person writes it; a tilde at its start is the home.

    Args:
        place: such as "~/images", "~user/images" or "images"; all other characters stand for themselves.

    Returns:
        the path; whether anything is there does not matter.

    Raises:
        ValueError: the path is empty, or there is no such user.
    """
    if not str(place).strip() or "\0" in str(place):
        raise ValueError(f"a path expected, got {str(place)!r}")
    try:
        return Path(place).expanduser()
    except RuntimeError:
        user = Path(place).parts[0]
        raise ValueError(
            f"{str(place)!r}: {user} is no user's home on this machine; write the home in full, or "
            f"./{user} for what is called so"
        ) from None


def folder_path(place: str | Path) -> Path:
    """The path of a folder to write into, as :func:`local_path` reads it.

    Args:
        place: of a folder that is there, or can be made.

    Returns:
        the path.

    Raises:
        ValueError: the path is empty, or its tilde names no user.
        NotADirectoryError: a file stands there or above.
    """
    path = local_path(place)
    there = next((above for above in (path, *path.parents) if above.exists()), path)
    if there.exists() and not there.is_dir():
        raise NotADirectoryError(f"{path} cannot be a folder, since {there} is a file; name another")
    return path
