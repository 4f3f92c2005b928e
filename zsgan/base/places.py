"""Paths as users write them."""

from pathlib import Path


def local_path(place: str | Path) -> Path:
    """A path in which a tilde at the start is replaced by the home folder.

    Args:
        place: such as "~/images", "~user/images" or "images"; no other character is special.

    Returns:
        the path, which need not exist.

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
            f"./{user} for a file of that name"
        ) from None


def folder_path(place: str | Path) -> Path:
    """The path of a folder to write into, as :func:`local_path` reads it.

    Args:
        place: a folder that exists or can be created.

    Returns:
        the path.

    Raises:
        ValueError: the path is empty, or its tilde names no user.
        NotADirectoryError: the path or one of its parents is a file.
    """
    path = local_path(place)
    there = next((above for above in (path, *path.parents) if above.exists()), path)
    if there.exists() and not there.is_dir():
        raise NotADirectoryError(f"{path} cannot be a folder, since {there} is a file; name another")
    return path
