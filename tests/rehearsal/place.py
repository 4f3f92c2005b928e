"""The place of a rehearsal: a copy of the project that downloads small networks from a local web server.

The copy's manifest has the local addresses and the hashes of the small files, and its book has no reference;
all else is the project's own.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml
from PIL import Image, ImageOps

from zsgan.assets.manifest import ROOT
from zsgan.book import contents

HERE = Path(__file__).parent


class Place:
    """A folder with a copy of the project, its downloads and its runs.

    Args:
        folder: an empty folder.
        device: torch device of what the commands do.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.folder, self.device = folder, device
        self.copy, self.served = folder / "copy", folder / "served"
        for part in ("zsgan", "book"):
            shutil.copytree(
                ROOT / part,
                self.copy / part,
                ignore=shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints"),
            )
        self.manifest = Path(shutil.copy(ROOT / "data_manifest.yaml", self.copy))
        self._leave_out_the_reference()
        self.served.mkdir()
        shutil.copy(HERE / "rehearsal.yaml", self.profile)

    def _leave_out_the_reference(self) -> None:
        """It is the same in every book, most of its pages, and looked at in the smoke book."""
        book, reference = self.copy / "book", {"architecture", "api"}
        file = book / "_toc.yml"
        toc = yaml.safe_load(file.read_text(encoding="utf-8"))
        for part in toc["parts"]:
            part["chapters"] = [entry for entry in part["chapters"] if entry["file"] not in reference]
        file.write_text(yaml.safe_dump(toc, sort_keys=False), encoding="utf-8")
        for page in book.glob("*.md"):
            text = page.read_text(encoding="utf-8")
            page.write_text(contents.unlinked(text, reference), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        paths = os.pathsep.join(map(str, (HERE / "small", self.copy)))
        one = {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
        return {**os.environ, **one, "PYTHONPATH": paths, "ZSGAN_HOME": str(self.folder / "home")}

    def write_networks(self, host: str) -> None:
        """Write the networks for a server of ``self.served`` at ``host``; in a process with small CLIPs."""
        call = "from networks import serve_under; from pathlib import Path; import sys; "
        call += "serve_under(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])"
        paths = [HERE / "small", HERE, HERE.parent, self.copy]
        environment = {**self.environment, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, "-c", call, self.served, self.manifest, host]
        subprocess.run(command, env=environment, check=True)

    @property
    def profile(self) -> Path:
        """The profile; with the images and photographs of :meth:`draw_images` once there are some."""
        return self.folder / "rehearsal.yaml"

    def draw_images(self) -> None:
        """Give the first scenario true images of its target, and the book photographs to edit.

        The images are some of its source, of other latents; two of them, as people have files, are the
        photographs.
        """
        images, photographs = self.folder / "images", self.folder / "photographs"
        self._run("sample", "generator-afhq-dog", "--n", "12", "--seed", "5", "--out", images)
        photographs.mkdir()
        first, second = (Image.open(file).convert("RGB") for file in sorted(images.glob("*.png"))[:2])
        turned = Image.Exif()
        turned[0x0112] = 6  # to be turned by 90 degrees
        lying = ImageOps.pad(first, (720, 512)).transpose(Image.Transpose.ROTATE_90)
        lying.save(photographs / "IMG_0001.JPG", exif=turned)
        second.resize((300, 300)).save(photographs / "rex.webp")
        (photographs / "notes.txt").write_text("no picture")
        content = yaml.safe_load(self.profile.read_text(encoding="utf-8"))
        content["photographs"] = str(photographs)
        next(iter(content["scenarios"].values()))["truth"] = {"folder": str(images)}
        self.profile.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def fetch(self) -> None:
        """Fetch the networks of the profile, and the one that it needs once there are true images."""
        self.zsgan("fetch")
        self._run("fetch", "dinov2-vit-l-14")

    def begin(self, command: str, *options: str | Path) -> subprocess.Popen[str]:
        """Start a command of zsgan with the profile of the rehearsal."""
        return self._begin(command, "--profile", self.profile, *options)

    def zsgan(self, command: str, *options: str | Path, fails: bool = False) -> str:
        """What a command prints that uses the profile of the rehearsal, and has to succeed, or to fail."""
        return self._run(command, "--profile", self.profile, *options, fails=fails)

    def _begin(self, command: str, *options: str | Path) -> subprocess.Popen[str]:
        on_device = [] if command == "fetch" else ["--device", self.device]
        # A second process would wait for the other one of the tests, and load all networks once more.
        workers = ["--workers", "1"] if command == "reproduce" else []
        options = (*map(str, options), *on_device, *workers, "--quiet")
        line = [sys.executable, "-m", "zsgan.cli", command, *options]
        return subprocess.Popen(
            line, cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _run(self, command: str, *options: str | Path, fails: bool = False) -> str:
        process = self._begin(command, *options)
        out, error = process.communicate()
        if (process.returncode != 0) != fails:
            raise RuntimeError(
                f"zsgan {command} ended with {process.returncode}:\n{out[-2000:]}{error[-6000:]}"
            )
        return out or error
