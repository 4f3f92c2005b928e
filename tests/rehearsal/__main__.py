"""The rehearsal of the paper's book by hand, for instance on a GPU, with the seconds that each part takes.

In the environment of the project: ``python tests/rehearsal --device cuda --folder /tmp/rehearsal``.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # browser.py, public_files.py

from browser import served
from place import Place


def main() -> None:
    """Fetch, plan, and make the book without and with true images and photographs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--folder", type=Path, required=True, help="a new folder")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    place = Place(options.folder.resolve(), options.device)
    started = time.perf_counter()

    def done(what: str) -> None:
        print(f"{time.perf_counter() - started:7.1f} s  {what}", flush=True)

    with served(place.served) as host:
        place.write_networks(host)
        done("networks written")
        place.fetch()
        done("networks fetched")
    print(place.zsgan("plan"))
    done("planned")
    place.zsgan("reproduce")
    done("the book without true images")
    place.draw_images()
    place.zsgan("reproduce")
    page = place.folder / "build" / "_build" / "html" / "index.html"
    done(f"the book with true images and photographs: {page}")


if __name__ == "__main__":
    main()
