"""Command line of zsgan: options, calls and output of every command."""

import argparse
import json
import logging
import os
import platform
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

from zsgan.commands import console
from zsgan.commands.arguments import (
    at_most,
    folder,
    output_file,
    output_folder,
    path,
    place,
    positive,
    psi,
    seed,
    steps,
)

KINDS = ("profiles", "scenarios", "rows", "texts", "settings", "generators", "clips")
"""What ``zsgan list`` can show."""

EXAMPLES = """examples:
  zsgan reproduce --profile demo                 every figure and table, and the book
  zsgan adapt --source dog --text cat            a dog generator becomes a cat generator
  zsgan adapt --source dog --text "grey cat" --row L_dir --set optimiser.lr=2e-3
  zsgan table --profile demo                     Table 1: its runs made or found, and measured
  zsgan prepare fisher --profile demo            what runs share, before they start side by side
  zsgan measure --profile demo --row L_dir       a row's runs at every snapshot, as CSV
  zsgan sample runs/<id> --n 32 --out cats/      pictures of an adapted generator
  zsgan edit --run runs/<id> --images photos/ --out edits/    your own pictures, adapted
  zsgan export runs/<id> --out cat.safetensors   an adaptation in 100 kB, with what is lost
  zsgan mix cat.safetensors=0.5 fox.safetensors=0.5 --out both.safetensors    two of them at once
  zsgan gallery --profile gallery --out gallery/    its runs as small files, both measured
  zsgan evaluate cats/ --against drawn:cat       diversity, and closeness to the true cats
  zsgan list texts                               the words that a text may have; also rows, scenarios...
  zsgan cost --profile paper --set weights=random    seconds and memory of a step, and of a table
  zsgan plan --profile paper --device cuda       hours, memory, disk and what is missing, before it starts
  zsgan fetch vgg16 inception ViT-B-16/openai    networks that measure photographs
  zsgan convert dog.pkl dog.safetensors          a public checkpoint in a format of ours
  zsgan bench submit --method mine.py --out entries/    a method of yours on the whole bench
  zsgan runs list --profile demo                 what is there, from where, and what a profile still lacks
  zsgan runs info <id>                           a run: its settings, its course, next steps
  zsgan runs verify                              check finished runs against their hashes
  zsgan runs merge other/runs                    take the runs that another machine made
  zsgan runs prune --profile demo                what could be deleted; with --delete, it is
  zsgan completion bash                          source its output for tab completion
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0: success; 1: failure; 2: wrong arguments; 130: stopped by Ctrl-C; 143: stopped by SIGTERM; 141: the
    reader of the output has ended.
    """
    name, debug = "zsgan", "--debug" in (sys.argv if argv is None else argv)
    try:
        console.prepare()
        with console.printing():
            options = _parser().parse_args(argv)
        name = f"zsgan {options.name}"
        # Progress bars clutter logs, for instance those of a CI service.
        options.progress = not options.quiet and sys.stderr.isatty()
        _run(options)
    except console.ReaderGone:
        return 141
    except Exception as error:
        from zsgan.base.failures import full, message

        console.complain(f"{full(error) if debug else ''}{name}: {message(error)}")
        return 1
    except KeyboardInterrupt as stop:
        console.complain(f"{name}: stopped; the same command resumes")
        return 143 if isinstance(stop, _Terminated) else 130
    return 0


def _run(options: argparse.Namespace) -> None:
    from tqdm.contrib.logging import logging_redirect_tqdm

    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s")
    for name in ("matplotlib", "papermill", "jupyter_book"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if options.debug:
        logging.getLogger("zsgan").setLevel(logging.DEBUG)
    if getattr(options, "batch_size", None) is not None:
        from zsgan.base.images import BATCH_SIZE

        os.environ[BATCH_SIZE] = str(options.batch_size)
    # Log lines appear above a progress bar, not inside it.
    with logging_redirect_tqdm() if options.progress else nullcontext(), _terminable():
        options.command(options)


def _say(text: object) -> None:
    """Print the result of a command and flush it."""
    with console.printing():
        print(text)


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as sent by Slurm, docker and timeout; handled like Ctrl-C."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise :class:`_Terminated` at the first SIGTERM inside the block; the second one kills."""

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    if current_thread() is not main_thread():  # other threads cannot handle signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zsgan", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Zero-shot GAN adaptation with semantic variations (Jeon et al., ICCV 2023).",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=_versions(), help="of zsgan, torch and Python")
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def add(name: str, function: Any, help_: str, among: Any = commands) -> argparse.ArgumentParser:
        sub = among.add_parser(
            name.rsplit(maxsplit=1)[-1], help=help_, description=help_[0].upper() + help_[1:] + ".",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter, epilog=f"example: {_example(name)}",
        )  # fmt: skip
        sub.set_defaults(command=function)
        sub.add_argument("--quiet", action="store_true", help="no progress bars, only results and errors")
        sub.add_argument("--debug", action="store_true", help="print the whole traceback of an error")
        return sub

    def add_device(sub: argparse.ArgumentParser, more: str = "") -> None:
        sub.add_argument("--device", default="cpu", help=f"torch device, such as cpu or cuda{more}")

    def add_batch_size(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--batch-size", type=positive, metavar="N",
            help="images made or measured at a time; by default as memory allows (adaptations have "
            "optimiser.batch_size)",
        )  # fmt: skip

    def add_profile(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--profile", help="demo, paper, or a .yaml file: profile of the settings; by default demo, for "
            "generators of the demo world",
        )  # fmt: skip
        sub.add_argument("--scenario", help="one of the profile, such as cat-to-dog; its first by default")

    def add_adaptation(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--source",
            help="source generator: dog, cat, a file, or the folder of a run; the scenario's by default",
        )
        sub.add_argument(
            "--source-text", help="the source domain in words; the generator's name or target by default"
        )
        sub.add_argument(
            "--text", help="the target domain, in words that the CLIP knows; the scenario's by default"
        )
        add_profile(sub)
        sub.add_argument(
            "--row", help="row of Table 1, such as L_dir or 'L_dm + L_EWC'; the full method by default"
        )
        sub.add_argument("--seed", type=seed, default=0, help="seed of variations, latents and noise")
        sub.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE",
            help="any setting by its dotted name, such as moment.lambda_cov=1, or terms.ewc=1e4 for a "
            "weight; it overrides the row's own; weights=random for random networks of the profile's shapes",
        )  # fmt: skip

    def add_rows(sub: argparse.ArgumentParser) -> None:
        add_profile(sub)
        sub.add_argument("--row", action="append", default=[], help="row of the table; repeat for several")
        sub.add_argument(
            "--method", action="append", default=[], metavar="FILE.py",
            help="a method of your own, as a row beside the profile's; repeat for several",
        )  # fmt: skip
        sub.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE",
            help="any setting of all rows, such as optimiser.iterations=500, or of the profile: seeds=[0], "
            "samples=500, eyes=evaluator, truth.folder=images/cats, weights=random",
        )  # fmt: skip

    several = "; several share the work, such as cuda:0,cuda:1"

    def add_grid(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
        sub.add_argument(
            "--workers", type=positive, help="parallel adaptations, then measurements, on one device or "
            "spread over several; by default one for each device",
        )  # fmt: skip
        add_device(sub, several)
        add_batch_size(sub)

    sub = add("reproduce", _reproduce, "run the notebooks, write every figure and table, build the book")
    sub.add_argument(
        "--profile", default="demo", help="smoke (numbers mean nothing), demo, paper, colab, a .yaml file, "
        "or a grid: demo-full, ten-shot, selection, scenarios, ablations, ablations-long, search, "
        "paper-ablations, bench, bench-slow, bench-local, bench-few-shot, bench-search, bench-tuned, "
        "bench-stopped, bench-readings, gallery",
    )  # fmt: skip
    sub.add_argument(
        "--only", metavar="CHAPTER", help="one notebook, for instance 04_results, and no book; or book: the "
        "pages of the notebooks that were executed",
    )  # fmt: skip
    sub.add_argument(
        "--workers", type=positive, help="parallel adaptations, measurements, then chapters, on one device "
        "or spread over several; by default two, or one for each device; up to 3.8 GB of memory each with "
        "the demo",
    )  # fmt: skip
    sub.add_argument(
        "--figures", type=folder,
        help="folder for figures and tables; by default PROFILE/figures below --build",
    )  # fmt: skip
    sub.add_argument("--build", type=folder, default=Path("build"), help="folder for notebooks and the book")
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
    sub.add_argument("--pdf", action="store_true", help="print the book too, to book.pdf; needs chromium")
    add_device(sub, several)
    add_batch_size(sub)

    sub = add("fetch", _fetch, "download and verify the files of data_manifest.yaml")
    sub.add_argument("assets", nargs="*", help="names of files; all files of the profile by default")
    sub.add_argument(
        "--profile", default="demo", help="demo (files ship), paper or colab (gigabytes), or a .yaml file"
    )

    sub = add("convert", _convert, "write a generator in another format, without executing code in the file")
    sub.add_argument(
        "input", type=path, metavar="IN",
        help="a .pkl of stylegan2-ada-pytorch, a .pt of rosinality's, or a .safetensors of ours",
    )  # fmt: skip
    sub.add_argument(
        "output", type=path, metavar="OUT", help="a .safetensors of ours, or a .pt for rosinality's code"
    )

    sub = add("adapt", _adapt, "adapt a generator to a text, or find the finished run")
    add_adaptation(sub)
    help_ = "steps, by default the row's; auto: until the run levels off, from 90 up to the row's"
    sub.add_argument("--iterations", type=steps, metavar="N|auto", help=help_)
    sub.add_argument(
        "--wait", action="store_true", help="wait while another process makes the run, instead of an error"
    )
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
    add_device(sub)

    sub = add("prepare", _prepare, "compute what several runs share, before they start side by side")
    sub.add_argument(
        "part", choices=("features", "fisher"),
        help="features of the source images, for the runs of a seed; or Fisher information of the source",
    )  # fmt: skip
    add_adaptation(sub)
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs, whose cache keeps it")
    add_device(sub)

    sub = add("measure", _measure, "make or find runs, and measure them at every snapshot; prints CSV")
    add_rows(sub)
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
    add_device(sub)
    add_batch_size(sub)

    sub = add("table", _table, "make or find the runs of a scenario, measure them, and print Table 1")
    add_rows(sub)
    sub.add_argument("--out", type=output_folder, help="folder for CSV, Markdown and a sidecar of origin")
    sub.add_argument("--json", action="store_true", help="print JSON: every number, not rounded")
    add_grid(sub)

    sub = add("list", _list, "list profiles, scenarios, rows, words, settings or networks")
    sub.add_argument("what", nargs="?", choices=KINDS, help="kind of items; profiles and networks by default")
    sub.add_argument("--profile", default="demo", help="profile of scenarios, rows, texts and settings")
    sub.add_argument("--json", action="store_true", help="print JSON")

    sub = add("completion", _completion, "print a script for the tab completion of commands and options")
    sub.add_argument("shell", choices=("bash", "zsh"), help='eval "$(zsgan completion bash)" in ~/.bashrc')

    sub = add("cost", _cost, "take a few steps of an adaptation, and print seconds by part, and memory")
    add_adaptation(sub)
    sub.add_argument("--steps", type=positive, default=3, help="number of steps; medians are printed")
    sub.add_argument(
        "--compare", action="store_true",
        help="instead, time whole steps with each switch of speed (tf32, autocast, channels_last, compile), "
        "alone and all together, against none",
    )  # fmt: skip
    sub.add_argument("--json", action="store_true", help="print JSON")
    add_device(sub)

    sub = add("plan", _plan, "say what a profile's runs take and what is missing; refuse what cannot fit")
    sub.add_argument("--profile", default="demo", help="profile of scenarios, rows, seeds and settings")
    sub.add_argument("--scenario", help="one of the profile, such as cat-to-dog; all by default")
    sub.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="any setting that zsgan table takes, such as seeds=[0], samples=500 or weights=random",
    )  # fmt: skip
    sub.add_argument("--json", action="store_true", help="print JSON, with an entry for each job")
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
    add_device(sub)
    add_batch_size(sub)

    sub = add("sample", _sample, "write pictures of an adapted or a source generator")
    sub.add_argument(
        "generator", type=place, help="folder of a run, or a source generator: dog, cat, or a file"
    )
    sub.add_argument("--n", type=positive, default=16, help="number of images")
    sub.add_argument("--seed", type=seed, default=0, help="seed of the latents")
    sub.add_argument("--psi", type=psi, default=0.7, help="truncation; 1 for none")
    sub.add_argument("--out", type=output_folder, required=True, help="folder for PNG files")
    add_device(sub)
    add_batch_size(sub)

    sub = add("export", _export, "write an adaptation as a file of some kilobytes, beside its source")
    sub.add_argument("run", type=path, help="folder of a finished run")
    sub.add_argument("--out", type=output_file, required=True, metavar="FILE", help="the .safetensors file")
    sub.add_argument(
        "--as", choices=("low-rank", "styles"), default="low-rank", dest="form",
        help="differences of the weights at low rank, or offsets of the styles alone, which are smaller",
    )  # fmt: skip
    sub.add_argument("--max-kb", type=float, default=100, metavar="N", help="largest file, in kB")
    sub.add_argument("--n", type=positive, default=200, help="images on which the loss is measured")
    sub.add_argument(
        "--steps",
        type=int,
        default=300,
        help="steps in which the file is fitted to the run's images; 0 for none",
    )
    sub.add_argument("--seed", type=seed, default=0, help="seed of the latents of the fit")
    add_device(sub)
    add_batch_size(sub)

    sub = add("mix", _mix, "make a generator of several exported adaptations, each at a strength of its own")
    sub.add_argument(
        "parts",
        nargs="+",
        metavar="FILE[=STRENGTH]",
        help="files of zsgan export; a strength is 1 by default",
    )
    sub.add_argument("--generator", help="source to add them to; by default the one that they come from")
    sub.add_argument("--out", type=output_file, required=True, metavar="FILE", help="the .safetensors file")

    sub = add("gallery", _gallery, "export a profile's runs as small files, and measure both; prints CSV")
    sub.add_argument("--profile", default="gallery", help="profile of the scenarios, or a .yaml file")
    sub.add_argument("--row", help="row of the profile; the full method, its last, by default")
    sub.add_argument("--max-kb", type=float, default=100, metavar="N", help="largest file, in kB")
    sub.add_argument(
        "--steps", type=positive, default=300, help="steps in which a file is fitted to its run's images"
    )
    sub.add_argument("--n", type=positive, default=200, help="images that measure a run and its file")
    sub.add_argument(
        "--out",
        type=output_folder,
        required=True,
        help="folder for files, table and pictures; resumes from it",
    )
    sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
    add_device(sub)
    add_batch_size(sub)

    sub = add("edit", _edit, "edit the pictures of a folder by an adapted generator")
    sub.add_argument("--run", type=path, required=True, help="folder of a finished run")
    sub.add_argument(
        "--images", type=path, required=True,
        help="folder of pictures (rotated by EXIF, in sRGB, alpha on white); others than of the source's "
        "domain become the nearest that it can draw",
    )  # fmt: skip
    sub.add_argument("--out", type=output_folder, required=True, help="folder for the edits; resumes from it")
    sub.add_argument(
        "--strength", type=float, action="append",
        help="0: source, 1: adapted, more: further; repeat for several; 0.5 and 1 by default",
    )  # fmt: skip
    sub.add_argument("--psi", type=psi, default=1.0, help="truncation of the latents; 1 for none")
    sub.add_argument(
        "--fit", choices=("crop", "letterbox", "face"), default="crop",
        help="pictures that are not square: their middle, white bars, or the face as in FFHQ (needs "
        "pip install 'zsgan[faces]' and zsgan fetch face-detector)",
    )  # fmt: skip
    sub.add_argument(
        "--start", help="mean, encoder, or the file of a pSp or e4e encoder; by default the encoder of a "
        "demo generator, the mean for others",
    )  # fmt: skip
    sub.add_argument("--seed", type=seed, default=0, help="seed of the noise in the inversion")
    sub.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="any setting of the inversion, such as steps=500, space=w or noise_maps=yes",
    )  # fmt: skip
    add_device(sub)
    add_batch_size(sub)

    sub = add("evaluate", _evaluate, "measure diversity, and closeness to a target domain")
    sub.add_argument(
        "images", type=place, help="folder of a run, or of images (rotated by EXIF, in sRGB, alpha on white)"
    )
    sub.add_argument("--recursive", action="store_true", help="read sub-folders of image folders too")
    sub.add_argument(
        "--against", type=place,
        help="true images of the target: a folder, or drawn:SPECIES[:STYLE] of the demo world",
    )  # fmt: skip
    sub.add_argument(
        "--n", type=positive, help="number of images to draw, of a run and of the truth; 500 by default"
    )
    sub.add_argument(
        "--seed", type=seed, help="seed of latents, true images and the LPIPS subset; by default the tables'"
    )
    sub.add_argument(
        "--psi", type=psi, help="truncation of a run's images; as in the tables by default: 1 for runs of "
        "the demo world, 0.7 for others",
    )  # fmt: skip
    sub.add_argument(
        "--before", type=place, help="the source's images, with the same names or numbers; a run has its own"
    )
    sub.add_argument(
        "--measures", metavar="NAME,...", help="only these: diversity, adaptation, closeness, kept, extra, "
        "dinov2, or single ones such as fid,cmmd; by default all available ones but extra and dinov2",
    )  # fmt: skip
    sub.add_argument(
        "--lpips-images", type=at_most, default=2000, metavar="N|all",
        help="compute LPIPS, which compares all pairs, on a random N of the images",
    )  # fmt: skip
    sub.add_argument("--text", help="the target in words, for the CLIP score; that of a run by default")
    sub.add_argument("--source-text", help="the source in words, for the target rate by CLIP")
    sub.add_argument(
        "--clip",
        help="the judging CLIP, one that did not guide the images; by default clip-b of the demo world, and "
        "ViT-B-16/openai beside --eyes photographs",
    )
    sub.add_argument(
        "--eyes", choices=("evaluator", "photographs"),
        help="networks behind LPIPS, FID and similar metrics: evaluator of the demo world, or VGG-16 and "
        "Inception-v3 (zsgan fetch vgg16 inception ViT-B-16/openai; pip install 'zsgan[photographs]'); by "
        "default photographs for a run of a generator outside the demo world, else evaluator",
    )  # fmt: skip
    sub.add_argument(
        "--preset", action="append", choices=("paper", "literal", "ojha", "air"),
        help="definition of intra-cluster LPIPS; repeat for several; paper and literal by default",
    )  # fmt: skip
    sub.add_argument("--centres", type=place, help="folder of cluster centres, for --preset ojha")
    sub.add_argument("--clusters", type=positive, default=10, help="k of intra-cluster LPIPS")
    sub.add_argument(
        "--neighbours", type=positive, default=3, help="k of precision, recall, density and coverage"
    )
    sub.add_argument("--out", type=output_file, metavar="FILE", help="also write the JSON to this file")
    sub.add_argument(
        "--runs", type=folder, default=Path("runs"), help="folder of runs, whose cache keeps LPIPS distances"
    )
    add_device(sub)
    add_batch_size(sub)

    help_ = "compare methods on the latents and scenarios of the bench"
    of_bench = commands.add_parser("bench", help=help_, description=help_[0].upper() + help_[1:] + ".")
    parts = of_bench.add_subparsers(dest="part", required=True, metavar="COMMAND")
    help_ = "make and measure the runs of a method, and write the folder that a pull request adds"
    sub = add("bench submit", _bench_submit, help_, parts)
    sub.add_argument(
        "--method", required=True, metavar="FILE.py", help="the method, see book/16_your_method.md"
    )
    sub.add_argument(
        "--out", required=True, type=output_folder, metavar="FOLDER", help="where its folder is written"
    )
    sub.add_argument("--profile", default="bench", help="bench, or a .yaml file that extends it")
    add_grid(sub)

    help_ = "list, describe, check, merge and prune the runs in a folder"
    of_runs = commands.add_parser("runs", help=help_, description=help_[0].upper() + help_[1:] + ".")
    parts = of_runs.add_subparsers(dest="part", required=True, metavar="COMMAND")

    def add_part(name: str, function: Any, help_: str) -> argparse.ArgumentParser:
        sub = add(f"runs {name}", function, help_, parts)
        sub.add_argument("--runs", type=folder, default=Path("runs"), help="folder of runs")
        return sub

    sub = add_part("list", _runs_list, "list runs: what each is, its state and size, from where it came")
    sub.add_argument("--profile", help="list the runs of this profile, and say which of them are missing")
    sub.add_argument("--json", action="store_true", help="print JSON, with sizes in bytes")

    help_ = "describe a run: settings, course, reason of its end, and commands to use it"
    sub = add_part("info", _runs_info, help_)
    sub.add_argument("run", metavar="RUN", help="folder of a run, its id, or the first characters of the id")
    sub.add_argument("--profile", help="profile to find the nearest row in; demo and paper by default")
    sub.add_argument("--json", action="store_true", help="print JSON")

    help_ = "compare every file of finished runs with the hashes in them"
    sub = add_part("verify", _runs_verify, help_)
    sub.add_argument("ids", nargs="*", metavar="ID", help="ids of the runs to check; all by default")

    help_ = "take the finished runs of another folder, after checking their hashes; replace nothing"
    sub = add_part("merge", _runs_merge, help_)
    sub.add_argument("other", type=path, metavar="OTHER", help="the other folder of runs")

    sub = add_part("prune", _runs_prune, "list what could be deleted; delete it with --delete alone")
    sub.add_argument(
        "--profile", action="append", help="finished runs of no such profile; repeat for several to keep"
    )
    sub.add_argument(
        "--unfinished", action="store_true", help="runs that were stopped, and damaged ones set aside"
    )
    sub.add_argument(
        "--snapshots", action="store_true", help="snapshots of finished runs, without which curves have only "
        "their two ends",
    )  # fmt: skip
    sub.add_argument("--delete", action="store_true", help="delete what is listed; this cannot be undone")
    return parser


def _example(command: str) -> str:
    return next(line.strip().split("   ")[0] for line in EXAMPLES.splitlines() if f"zsgan {command} " in line)


def _versions() -> str:
    """Versions for a bug report."""
    return f"zsgan {version('zsgan')}, torch {version('torch')}, Python {platform.python_version()}"


def _reproduce(options: argparse.Namespace) -> None:
    from zsgan.book.reproduce import reproduce

    workers = _workers(options, min(2, os.cpu_count() or 1))
    page = reproduce(
        options.profile, figures=options.figures, build=options.build, runs=options.runs, only=options.only,
        device=options.device, workers=workers, pdf=options.pdf, progress=options.progress,
    )  # fmt: skip
    _say(page)


def _workers(options: argparse.Namespace, least: int) -> int:
    return options.workers or max(least, len(options.device.split(",")))


def _fetch(options: argparse.Namespace) -> None:
    from zsgan.assets.download import fetch_all
    from zsgan.evaluation.files import files_of
    from zsgan.runs.profiles import load_profile

    wanted = options.assets or files_of(load_profile(options.profile))
    for file in fetch_all(wanted, options.progress):
        _say(file)


def _convert(options: argparse.Namespace) -> None:
    from zsgan.base.files import sha256
    from zsgan.networks.load import read_generator
    from zsgan.networks.stylegan2.checkpoints import save, save_rosinality

    if options.output.suffix not in (".safetensors", ".pt"):
        raise ValueError(f"OUT must end in .safetensors or .pt, got {options.output}")
    if not options.input.is_file():
        raise ValueError(f"IN: there is no file {options.input}; zsgan fetch prints where it puts one")
    generator = read_generator(options.input)
    if options.output.suffix == ".pt":
        save_rosinality(generator, options.output)
    else:
        converted = {"file": options.input.name, "sha256": sha256(options.input)}
        save(generator, options.output, {"converted from": converted})
    _say(options.output)


def _adapt(options: argparse.Namespace) -> None:
    from zsgan.api import adapt
    from zsgan.report.run_sheet import contact_sheet

    asked = _asked(options)
    asked["settings"] = (options.iterations or {}) | asked["settings"]
    found = adapt(
        **asked, folder=options.runs, device=options.device, progress=options.progress, wait=options.wait
    )
    _say(found.folder)
    contact_sheet(found, options.device)


def _prepare(options: argparse.Namespace) -> None:
    from zsgan.api import configuration
    from zsgan.runs.prepare import prepare

    config = configuration(**_asked(options))
    prepare(options.part, config, folder=options.runs, device=options.device, progress=options.progress)
    _say(options.runs / "cache")


def _measure(options: argparse.Namespace) -> None:
    from zsgan.base.settings import given
    from zsgan.evaluation.measurements import Measurements
    from zsgan.report.table1 import chosen
    from zsgan.runs.method_check import check_methods
    from zsgan.runs.profiles import load_profile

    profile = load_profile(options.profile, options.method)
    scenario = options.scenario or next(iter(profile.scenarios))
    picked = chosen(profile, scenario, options.row, given(options.set))
    check_methods(picked, options.runs, options.device)
    found = Measurements(picked, options.runs, options.device, options.progress).course(scenario)
    _say(found.to_csv(index=False, lineterminator="\n").rstrip())


def _table(options: argparse.Namespace) -> None:
    from zsgan.base.settings import given
    from zsgan.report.table1 import make_table
    from zsgan.report.tables import markdown

    found = make_table(
        options.profile, options.scenario, options.row, methods=options.method, settings=given(options.set),
        folder=options.runs, device=options.device, workers=_workers(options, 1), progress=options.progress,
    )  # fmt: skip
    if options.out is not None:
        found.save(options.out)
    if options.json:
        _say(json.dumps(found.content(), indent=1))
    else:
        _say(f"{markdown(found.main)}\n\n{found.basis}")


def _bench_submit(options: argparse.Namespace) -> None:
    from zsgan.report.entries import submit

    place = submit(
        options.method, options.out, bench=options.profile, folder=options.runs, device=options.device,
        workers=_workers(options, 1), progress=options.progress,
    )  # fmt: skip
    _say(place)


def _cost(options: argparse.Namespace) -> None:
    from zsgan.api import configuration
    from zsgan.runs.comparison import compare_switches
    from zsgan.runs.cost_report import comparison_in_lines, comparison_in_units, in_lines, in_units
    from zsgan.runs.costs import measure_costs
    from zsgan.runs.least_memory import least_memory
    from zsgan.runs.profiles import load_profile

    config, profile = configuration(**_asked(options)), load_profile(options.profile)
    if options.compare:
        compared = comparison_in_units(
            compare_switches(config, options.steps, options.device, options.progress)
        )
        _say(json.dumps(compared, indent=1) if options.json else comparison_in_lines(compared))
        return
    found = measure_costs(config, options.steps, options.device, options.progress)
    costs = in_units(
        found, config, rows=len(profile.rows), seeds=len(profile.seeds), least=least_memory(config)
    )
    _say(json.dumps(costs, indent=1) if options.json else in_lines(costs))


def _plan(options: argparse.Namespace) -> None:
    from zsgan.base.settings import given
    from zsgan.commands.planning import plan
    from zsgan.runs.plan_report import in_lines

    found = plan(
        options.profile, given(options.set), scenario=options.scenario, folder=options.runs,
        device=options.device,
    )  # fmt: skip
    _say(json.dumps(found.content(), indent=1) if options.json else in_lines(found))


def _list(options: argparse.Namespace) -> None:
    from zsgan.commands.listing import in_lines, listing

    found = listing([options.what] if options.what else [], options.profile)
    _say(json.dumps(found, indent=1) if options.json else in_lines(found))


def _completion(options: argparse.Namespace) -> None:
    from zsgan.commands.completion import script

    _say(script(_parser(), options.shell))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`zsgan.api.configuration`."""
    from zsgan.base.settings import given

    names = ("source", "text", "source_text", "profile", "scenario", "row", "seed")
    return {name: getattr(options, name) for name in names} | {"settings": given(options.set)}


def _sample(options: argparse.Namespace) -> None:
    from zsgan.api import open_generator
    from zsgan.base.images import save_images
    from zsgan.networks.sampling import Samples

    generator = open_generator(options.generator, options.device)
    images = Samples(generator, options.n, options.seed, options.psi)
    save_images(images, options.out, progress=options.progress)
    _say(options.out)


def _export(options: argparse.Namespace) -> None:
    from zsgan.compact.export import export

    found = export(
        options.run, options.out, form=options.form, max_kb=options.max_kb, n=options.n, steps=options.steps,
        seed=options.seed, device=options.device, progress=options.progress,
    )  # fmt: skip
    _say(json.dumps(found, indent=1))


def _mix(options: argparse.Namespace) -> None:
    from zsgan.compact.export import mix, safetensors_file, strengths
    from zsgan.networks.stylegan2.checkpoints import save

    parts, out = strengths(options.parts), safetensors_file(options.out)
    mixed = mix(parts, generator=options.generator)
    save(mixed, out, {"mixed from": {str(name): strength for name, strength in parts.items()}})
    _say(options.out)


def _gallery(options: argparse.Namespace) -> None:
    from zsgan.compact.gallery import make_gallery

    found = make_gallery(
        options.profile, options.out, row=options.row, max_kb=options.max_kb, steps=options.steps,
        n=options.n, folder=options.runs, device=options.device, progress=options.progress,
    )  # fmt: skip
    _say(found.to_csv(index=False, float_format="%.5g", lineterminator="\n").rstrip())


def _edit(options: argparse.Namespace) -> None:
    from zsgan.base.settings import given
    from zsgan.inversion.edit import edit

    found = edit(
        options.run, options.images, out=options.out, strengths=options.strength or (0.5, 1.0),
        truncation_psi=options.psi, fit=options.fit, start=options.start, settings=given(options.set),
        seed=options.seed, device=options.device, progress=options.progress,
    )  # fmt: skip
    _say(options.out)
    if found.faults:
        raise ValueError(
            f"{len(found.faults)} of {len(found.faults) + len(found.names)} files were left out: "
            f"{'; '.join(found.faults)}"
        )


def _evaluate(options: argparse.Namespace) -> None:
    from zsgan.base.files import write_json
    from zsgan.evaluation.evaluate import evaluate

    result = evaluate(
        options.images, against=options.against, before=options.before, centres=options.centres,
        text=options.text, source_text=options.source_text, presets=options.preset or ("paper", "literal"),
        n=options.n, seed=options.seed, truncation_psi=options.psi, clusters=options.clusters,
        neighbours=options.neighbours, clip=options.clip, eyes=options.eyes, device=options.device,
        progress=options.progress, recursive=options.recursive, measures=options.measures,
        lpips_images=options.lpips_images, folder=options.runs,
    )  # fmt: skip
    if options.out is not None:
        write_json(options.out, result)
    _say(json.dumps(result, indent=1))


def _runs_list(options: argparse.Namespace) -> None:
    from zsgan.commands.run_list import in_lines, run_list

    found = run_list(options.runs, options.profile)
    _say(json.dumps(found, indent=1) if options.json else in_lines(found, options.runs))


def _runs_info(options: argparse.Namespace) -> None:
    from zsgan.commands.info import about, in_lines
    from zsgan.runs.records import find_run

    found = about(find_run(options.run, options.runs), options.profile)
    _say(json.dumps(found, indent=1) if options.json else in_lines(found))


def _runs_merge(options: argparse.Namespace) -> None:
    from zsgan.runs.copies import merge

    refused = 0
    for found in merge(options.other, options.runs):
        _say(f"{found.place.name}  {found.text}")
        refused += found.refused
    if refused:
        raise ValueError(f"{refused} refused, and so are the cached results; the other runs are merged")


def _runs_prune(options: argparse.Namespace) -> None:
    from zsgan.commands.run_list import ids_to_keep
    from zsgan.runs.prune import prunable, prune

    if not (options.profile or options.unfinished or options.snapshots):
        raise ValueError("say what to look for: --profile, --unfinished or --snapshots")
    wanted = ids_to_keep(options.profile) if options.profile else None
    found = prunable(options.runs, wanted=wanted, unfinished=options.unfinished, snapshots=options.snapshots)
    if not options.delete:
        for each in found:
            _say(f"{each.place.name}  {each.reason}, {each.bytes / 1e6:.1f} MB")
        total = sum(each.bytes for each in found) / 1e6
        _say(f"nothing is deleted: {len(found)} listed, {total:.1f} MB; --delete deletes them")
        return
    kept = 0
    for each, why in prune(found):
        _say(f"{each.place.name}  {f'kept: {why}' if why else f'deleted: {each.reason}'}")
        kept += bool(why)
    if kept:
        raise ValueError(f"{kept} kept; repeat the command when no process uses them")


def _runs_verify(options: argparse.Namespace) -> None:
    from zsgan.runs.verification import verify

    damaged = 0
    for state in verify(options.runs, options.ids):
        _say(f"{state.place.name}  {state.text}")
        damaged += state.damaged
    if damaged:
        raise ValueError(f"{damaged} damaged; the command that made a run makes it again")


if __name__ == "__main__":
    sys.exit(main())
