"""Command line: zsgan reproduce | fetch | convert | adapt | table | cost | sample | evaluate."""

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

EXAMPLES = """examples:
  zsgan reproduce --profile demo                 every figure and table, and the book
  zsgan adapt --source dog --text cat            a dog generator becomes a cat generator
  zsgan adapt --source dog --text "grey cat" --row L_dir --set optimiser.lr=2e-3
  zsgan table --profile demo                     Table 1: its runs made or found, and measured
  zsgan sample runs/<id> --n 32 --out cats/      pictures of an adapted generator
  zsgan evaluate cats/ --against drawn:cat       how varied, and how close to the true cats
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 wrong arguments."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING if options.quiet else logging.INFO, format="%(message)s")
    for name in ("matplotlib", "papermill", "jupyter_book"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        options.command(options)
    except (ValueError, OSError, RuntimeError, FloatingPointError, ImportError) as error:
        print(f"zsgan {options.name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"zsgan {options.name}: stopped; the same command goes on from there", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zsgan", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Zero-shot GAN adaptation with semantic variations (Jeon et al., ICCV 2023).",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="name", required=True, metavar="COMMAND")

    def add(name: str, function: Any, help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=help_, description=help_[0].upper() + help_[1:] + ".",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(command=function)
        sub.add_argument("--quiet", action="store_true", help="no progress bars, only results and errors")
        return sub

    def add_device(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", default="cpu", help="torch device, such as cpu or cuda")

    def add_profile(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--profile", default="demo", help="demo, paper, or a .yaml file: where settings come from"
        )
        sub.add_argument("--scenario", help="of the profile, such as cat-to-dog; its first by default")

    def add_adaptation(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--source",
            help="source generator: dog, cat, or a .pkl, .pt or .safetensors file; the scenario's by default",
        )
        sub.add_argument(
            "--source-text", help="what the source generator makes, in words; its name by default"
        )
        sub.add_argument(
            "--text", help="the target domain, in words that the CLIP knows; the scenario's by default"
        )
        add_profile(sub)
        sub.add_argument(
            "--row", help="row of Table 1, such as L_dir or 'L_dm + L_EWC'; the full method by default"
        )
        sub.add_argument("--seed", type=int, default=0, help="of variations, latents and noise")
        sub.add_argument(
            "--set", action="append", default=[], metavar="NAME=VALUE",
            help="any setting by its dotted name, such as moment.lambda_cov=1, or terms.ewc=1e4 for a "
            "weight; it goes over the row's own; weights=random for random networks of the profile's shapes",
        )  # fmt: skip

    sub = add("reproduce", _reproduce, "run the notebooks, write every figure and table, build the book")
    sub.add_argument(
        "--profile", default="demo", help="smoke (numbers mean nothing), demo, or a grid of the book's: "
        "demo-full, ten-shot, selection, scenarios, ablations, search",
    )  # fmt: skip
    sub.add_argument("--only", metavar="CHAPTER", help="one notebook, for instance 04_results; no book")
    sub.add_argument(
        "--workers", type=_positive, default=min(2, os.cpu_count() or 1),
        help="adaptations, then chapters at a time, up to 2.2 GB of memory each",
    )  # fmt: skip
    sub.add_argument(
        "--figures", type=Path, help="where figures and tables go: figures for the demo, else below --build"
    )
    sub.add_argument("--build", type=Path, default=Path("build"), help="where notebooks and the book go")
    sub.add_argument("--pdf", action="store_true", help="print the book too, to book.pdf; needs chromium")
    add_device(sub)

    sub = add("fetch", _fetch, "download and verify the files of data_manifest.yaml")
    sub.add_argument("assets", nargs="*", help="names of files; all of the profile by default")
    sub.add_argument("--profile", default="demo", help="whose files: demo (they ship) or paper (gigabytes)")

    sub = add("convert", _convert, "write a generator in another format, without executing anything in it")
    sub.add_argument(
        "input", type=Path, metavar="IN",
        help="a .pkl of stylegan2-ada-pytorch, a .pt of rosinality's, or a .safetensors of ours",
    )  # fmt: skip
    sub.add_argument(
        "output", type=Path, metavar="OUT", help="a .safetensors of ours, or a .pt for rosinality's code"
    )

    sub = add("adapt", _adapt, "adapt a generator to a text, or find the finished run")
    add_adaptation(sub)
    steps = "steps, by default the row's; auto: until the run levels off, from 90 up to the row's"
    sub.add_argument("--iterations", type=_steps, metavar="N|auto", help=steps)
    sub.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs")
    add_device(sub)

    sub = add("table", _table, "make or find the runs of a scenario, measure them, and print Table 1")
    add_profile(sub)
    sub.add_argument("--row", action="append", default=[], help="of the table, more than once for several")
    sub.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="any setting of all rows, such as optimiser.iterations=500, or of the profile: seeds=[0], "
        "samples=500, eyes=evaluator, truth.folder=images/cats, weights=random",
    )  # fmt: skip
    sub.add_argument("--out", type=Path, help="folder for CSV, Markdown and a sidecar of their origin")
    sub.add_argument("--runs", type=Path, default=Path("runs"), help="folder of runs")
    add_device(sub)

    sub = add("cost", _cost, "take a few steps of an adaptation, and print seconds by part and memory")
    add_adaptation(sub)
    sub.add_argument("--steps", type=_positive, default=3, help="how many; the medians are printed")
    add_device(sub)

    sub = add("sample", _sample, "write pictures of an adapted or a source generator")
    sub.add_argument(
        "generator", help="folder of a run, or a source generator: dog, cat, or a .safetensors file"
    )
    sub.add_argument("--n", type=_positive, default=16, help="how many")
    sub.add_argument("--seed", type=int, default=0, help="of the latents")
    sub.add_argument("--psi", type=float, default=0.7, help="truncation; 1 for none")
    sub.add_argument("--out", type=Path, required=True, help="folder for PNG files")
    add_device(sub)

    sub = add("evaluate", _evaluate, "measure diversity, and likeness to a target domain")
    sub.add_argument("images", help="folder of a run, or of images: turned by EXIF, in sRGB, alpha on white")
    sub.add_argument("--recursive", action="store_true", help="read sub-folders of image folders too")
    sub.add_argument(
        "--against", help="true images of the target: a folder, or drawn:SPECIES[:STYLE] of the demo world"
    )
    sub.add_argument(
        "--n", type=_positive, default=500, help="how many images to draw, of a run and of the truth"
    )
    sub.add_argument(
        "--seed",
        type=int,
        help="of the latents, the truth and the choice for LPIPS; those of the tables by default",
    )
    sub.add_argument(
        "--psi", type=float, help="truncation, when sampling a run; as in the tables by default: 1 for a run "
        "of the demo world, 0.7 for others",
    )  # fmt: skip
    sub.add_argument(
        "--measures", metavar="NAME,...", help="only these: diversity, adaptation, closeness, kept, or "
        "single ones such as fid,lpips; all that can be known by default",
    )  # fmt: skip
    sub.add_argument(
        "--lpips-images", type=_at_most, default=2000, metavar="N|all",
        help="LPIPS, which compares all with all, takes a random N of more images",
    )  # fmt: skip
    sub.add_argument("--before", help="the source's images, of the same names or numbers; a run has its own")
    sub.add_argument("--text", help="the target in words, for the CLIP score; that of a run by default")
    sub.add_argument("--source-text", help="the source in words, for the rate that CLIP takes for the target")
    sub.add_argument(
        "--clip",
        help="the judging CLIP, one that did not guide the images; by default clip-b of the demo world, and "
        "ViT-B-16/openai beside --eyes photographs",
    )
    sub.add_argument(
        "--eyes", choices=("evaluator", "photographs"),
        help="what LPIPS, FID and their like look through: the evaluator of the demo world, or VGG-16 and "
        "Inception-v3 (zsgan fetch vgg16 inception ViT-B-16/openai; pip install 'zsgan[photographs]'); by "
        "default these for a run whose generator is not of the demo world, the evaluator for all else",
    )  # fmt: skip
    sub.add_argument(
        "--preset", action="append", choices=("paper", "literal", "ojha", "air"),
        help="definition of intra-cluster LPIPS, more than once for several; paper and literal by default",
    )  # fmt: skip
    sub.add_argument("--centres", help="folder of images that others are assigned to, for --preset ojha")
    sub.add_argument("--clusters", type=_positive, default=10, help="k of intra-cluster LPIPS")
    sub.add_argument(
        "--neighbours", type=_positive, default=3, help="k of precision, recall, density and coverage"
    )
    sub.add_argument(
        "--runs", type=Path, default=Path("runs"), help="folder of runs, whose cache keeps LPIPS distances"
    )
    add_device(sub)
    return parser


def _positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 expected, got {text!r}")
    return int(text)


def _at_most(text: str) -> int | None:
    """A number of images, or ``None`` for "all"."""
    return None if text == "all" else _positive(text)


def _steps(text: str) -> dict[str, Any]:
    """The setting that a number of steps stands for, or "auto"."""
    auto = text == "auto"
    return {"optimiser.stop_at_plateau": True} if auto else {"optimiser.iterations": _positive(text)}


def _reproduce(options: argparse.Namespace) -> None:
    from zsgan.reproduce import reproduce

    page = reproduce(
        options.profile, figures=options.figures, build=options.build, only=options.only,
        device=options.device, workers=options.workers, pdf=options.pdf, progress=not options.quiet,
    )  # fmt: skip
    print(page)


def _fetch(options: argparse.Namespace) -> None:
    from zsgan.download import fetch, names

    for name in options.assets or names(options.profile):
        print(fetch(name, progress=not options.quiet))


def _convert(options: argparse.Namespace) -> None:
    from zsgan.files import sha256
    from zsgan.stylegan2.checkpoints import load_generator_file, save, save_rosinality

    if options.output.suffix not in (".safetensors", ".pt"):
        raise ValueError(f"OUT must end in .safetensors or .pt, got {options.output}")
    if not options.input.is_file():
        raise ValueError(f"IN: there is no file {options.input}; zsgan fetch prints where it puts one")
    generator = load_generator_file(options.input)
    if options.output.suffix == ".pt":
        save_rosinality(generator, options.output)
    else:
        converted = {"file": options.input.name, "sha256": sha256(options.input)}
        save(generator, options.output, {"converted from": converted})
    print(options.output)


def _adapt(options: argparse.Namespace) -> None:
    from zsgan.api import adapt

    asked = _asked(options)
    asked["settings"] = (options.iterations or {}) | asked["settings"]
    print(adapt(**asked, folder=options.runs, device=options.device, progress=not options.quiet).folder)


def _table(options: argparse.Namespace) -> None:
    from zsgan.checking import given
    from zsgan.measured import measure
    from zsgan.tables import markdown

    found = measure(
        options.profile, options.scenario, options.row, settings=given(options.set), folder=options.runs,
        device=options.device, progress=not options.quiet,
    )  # fmt: skip
    if options.out is not None:
        found.save(options.out)
    print(f"{markdown(found.main)}\n\n{found.basis}")


def _cost(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from zsgan.api import configuration
    from zsgan.costs import least_memory, measure

    config = configuration(**_asked(options))
    least, found = least_memory(config), measure(config, options.steps, options.device)
    print(json.dumps({**asdict(found), "least_memory": least}, indent=1))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of :func:`zsgan.api.configuration`."""
    from zsgan.checking import given

    names = ("source", "text", "source_text", "profile", "scenario", "row", "seed")
    return {name: getattr(options, name) for name in names} | {"settings": given(options.set)}


def _sample(options: argparse.Namespace) -> None:
    from zsgan.api import open_generator
    from zsgan.images import save_images
    from zsgan.sampling import Samples

    generator = open_generator(options.generator, options.device)
    images = Samples(generator, options.n, options.seed, options.psi)
    save_images(images, options.out, progress=not options.quiet)
    print(options.out)


def _evaluate(options: argparse.Namespace) -> None:
    from zsgan.evaluation import evaluate

    result = evaluate(
        options.images, against=options.against, before=options.before, centres=options.centres,
        text=options.text, source_text=options.source_text, presets=options.preset or ("paper", "literal"),
        n=options.n, seed=options.seed, truncation_psi=options.psi, clusters=options.clusters,
        neighbours=options.neighbours, clip=options.clip, eyes=options.eyes, device=options.device,
        progress=not options.quiet, recursive=options.recursive, measures=options.measures,
        lpips_images=options.lpips_images, folder=options.runs,
    )  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
