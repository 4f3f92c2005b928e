"""The grid as jobs: on a Slurm of two nodes, where jobs and engine are killed, and on this machine alone."""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, cluster, wait
from engine import PATIENCE, SCRIPTS, ended, engine, planned

from zsgan.assets.manifest import ROOT
from zsgan.base.files import read_json
from zsgan.evaluation.measuring import measure_all
from zsgan.report.table1 import make_table
from zsgan.runs.grid import run_all
from zsgan.runs.profiles import load_profile

SMALL = {
    "extends": "smoke", "samples": 12, "clusters": 2, "overrides": {},
    "settings": {"optimiser": {"iterations": 4}, "ewc": {"samples": 2}, "stage1": {"iterations": 5}},
}  # fmt: skip
ROWS = {
    "L_dir": {"terms": {"directional": 1}},
    "L_dm + L_EWC + L_rel": {"terms": {"moment": 1, "ewc": 3.0e3, "relation": 5}},
}
SHOTS = {"terms": {}, "few_shot": {}}  # it needs no source features, of which many steps have many
PROFILES = {
    "grid": {**SMALL, "rows": ROWS},
    # Saves every 2,000 steps, unless it is asked to end.
    "endless": {**SMALL, "rows": {"10-shot": {**SHOTS, "optimiser": {"iterations": 20_000}}}},
    "saving": {**SMALL, "rows": {"10-shot": {**SHOTS, "optimiser": {"iterations": 30}}}},  # every 3 steps
    "queued": {**SMALL, "rows": {"10-shot": SHOTS}},
}
ON_TEST = (
    "--slurm-status-command=squeue", "--slurm-init-seconds-before-status-checks=1",
    "--seconds-between-status-checks=1",
)  # fmt: skip


def of_profile(place: Path, name: str) -> dict:
    """The plan of a profile in a folder of its own."""
    (place / name).mkdir()
    (place / name / "grid.yaml").write_text(yaml.safe_dump(PROFILES[name]))
    return planned(place / name, "grid.yaml")


def receipts(kind: str, plan: dict) -> list[str]:
    return [f"build/receipts/grid/{kind}/{job['id']}" for job in plan["jobs"]]


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The plan of the grid, and a folder in which what its runs share was prepared."""
    place = tmp_path_factory.mktemp("workflow")
    plan = of_profile(place, "grid")
    shared = [f"build/receipts/grid/prepared/{i:05d}" for i in range(len(plan["shared"]))]
    ended(engine(place / "grid", "local", "-c2", *shared), place / "grid")
    return plan, place / "grid"


@pytest.fixture(scope="module")
def played(grid, tmp_path_factory):
    """What happened on the cluster, see :func:`play`."""
    other = tmp_path_factory.mktemp("other")
    plans = {name: of_profile(other, name) for name in ("endless", "saving", "queued")}
    with cluster(tmp_path_factory.mktemp("slurm")) as slurm:
        return play(slurm, *grid, other, **plans)


def play(
    slurm: Cluster, plan: dict, place: Path, other: Path, endless: dict, saving: dict, queued: dict
) -> dict:
    """Run the grid while engine, jobs and time end: the jobs, when each run was finished, and some logs."""
    targets = receipts("adapted", plan)
    with ExitStack() as stack:

        def start(*words) -> subprocess.Popen:
            process = engine(*words, commands=slurm.commands)
            stack.callback(process.kill)
            return process

        def first(**what: str) -> str:
            """The id of the first job like this, once there is one."""
            wait(lambda: slurm.jobs(**what), slurm)
            return slurm.jobs(**what)[0]["job"]

        # One job runs out of its minute,
        late = start(
            other / "endless", "slurm", *ON_TEST, *receipts("adapted", endless), "--set-resources",
            "adapt:runtime=1",
        )  # fmt: skip
        # one of another engine is cancelled,
        generic = start(
            other / "queued", "generic", "--seconds-between-status-checks=1", *receipts("adapted", queued)
        )
        # one is a plain command of the plan; its process is killed, and Slurm is asked to start it once more,
        (job,) = saving["jobs"]
        plain = slurm.call(
            "sbatch", "--parsable", "--open-mode=append", "-D", str(other / "saving"), "-o", "log",
            "--wrap", f"PATH={SCRIPTS}:$PATH PYTHONPATH={ROOT} {job['command']}",
        ).strip()  # fmt: skip
        run = other / "saving" / "runs" / job["id"]
        # and the engine of the grid is killed while its jobs run, and started once more.
        killed = start(place, "slurm", *ON_TEST, *targets)
        slurm.call("scancel", first(name="snakejob.adapt.0.sh"))
        first(task="1", state="RUNNING")
        killed.kill()
        killed.wait()
        ended(start(place, "local", "--unlock"), place)
        # Slurm looks every 30 seconds for jobs whose time is over. This one's is, after some steps.
        wait((other / "endless" / "runs" / endless["jobs"][0]["id"] / "config.json").exists, slurm)
        slurm.call("scontrol", "update", f"JobId={first(limit='1:00', task='N/A')}", "EndTime=now+8")
        wait((run / "state.pt").exists, slurm)
        os.kill(int(re.findall(r"\d+", (run / "owner.txt").read_text())[0]), signal.SIGKILL)
        first(job=plain, state="FAILED")
        slurm.call("scontrol", "requeue", plain)
        second = start(place, "slurm", *ON_TEST, *targets)
        made = {}
        while second.poll() is None:
            for file in place.glob("runs/*/provenance.json"):
                made.setdefault(file.parent.name, file.stat().st_mtime_ns)
            time.sleep(0.2)
        ended(second, place)
        ended(generic, other / "queued")
        wait((run / "provenance.json").exists, slurm)
        logs = other / "endless" / ".snakemake" / "slurm_logs"
        wait(lambda: any("resuming" in log.read_text() for log in logs.rglob("*.log")), slurm)
        late.terminate()
        return {
            "jobs": slurm.jobs(), "made": made, "plain": (other / "saving" / "log").read_text(),
            "late": "".join(log.read_text() for log in logs.rglob("*.log")), "plain id": plain,
        }  # fmt: skip


def test_the_runs_are_tasks_of_arrays_on_both_nodes(played, grid):
    plan, _ = grid
    arrays = [job for job in played["jobs"] if job["task"] != "N/A"]
    assert {job["task"] for job in arrays} == {"1", "2"} == {str(i + 1) for i in range(len(plan["jobs"]))}
    # That of the engine that was killed; and that of the other one, if both runs were still missing.
    assert len({job["array"] for job in arrays}) in (1, 2)
    assert len({job["job"] for job in played["jobs"]}) == len(played["jobs"])
    assert {job["node"] for job in played["jobs"]} >= {"one", "two"}
    assert {job["state"] for job in arrays} == {"COMPLETED"}


def test_no_run_is_lost_with_the_engine_and_none_is_made_twice(played, grid):
    plan, place = grid
    assert set(played["made"]) == {job["id"] for job in plan["jobs"]}
    for run, first in played["made"].items():
        assert (place / "runs" / run / "provenance.json").stat().st_mtime_ns == first
    assert not list(place.glob("runs/*.damaged*"))


def test_a_killed_job_that_is_queued_again_resumes(played):
    assert re.search(r"resuming \S+ at step (\d+) of 30", played["plain"]) and played["plain id"]


def test_a_job_whose_time_is_over_keeps_its_last_step_and_is_queued_again(played):
    steps = [int(step) for step in re.findall(r"resuming \S+ at step (\d+) of 20000", played["late"])]
    assert steps and all(step % 2000 for step in steps)
    states = [job["state"] for job in played["jobs"] if job["limit"] == "1:00" and job["task"] == "N/A"]
    assert "TIMEOUT" in states and len(states) > 1


def test_another_queues_engine_submits_a_cancelled_job_again(played):
    states = [job["state"] for job in played["jobs"] if job["name"].startswith("snakejob.adapt")]
    assert sorted(states) == ["CANCELLED", "COMPLETED"]


def test_the_results_are_those_of_one_process(played, grid, tmp_path):
    """Runs of the cluster, then measurements and the table by the engine on this machine."""
    _, place = grid
    ended(engine(place, "local", "-c2", "build/receipts/grid/tables/dog-to-cat"), place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        profile = load_profile("grid.yaml")
    runs = tmp_path / "runs"
    run_all([profile.config(*which) for which in profile.grid], folder=runs)
    measure_all(profile, runs)
    made = contents(runs)
    for file in runs.glob("*/provenance.json"):  # the table also has the seconds, which a clock measured
        file.write_bytes((place / "runs" / file.parent.name / file.name).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        make_table("grid.yaml", folder=runs, progress=False).save(tmp_path / "table")
    assert made.items() <= contents(place / "runs").items()
    assert contents(place / "runs") == contents(runs)
    assert contents(place / "build" / "tables" / "dog-to-cat") == contents(tmp_path / "table")


def contents(folder: Path) -> dict[str, bytes]:
    """Files of a folder but for those of a place and a time; of a provenance, what is promised."""
    found = {}
    for file in folder.rglob("*"):
        name = str(file.relative_to(folder))
        if file.name == "provenance.json":
            found[name] = {key: value for key, value in read_json(file).items() if key in ("id", "sha256")}
        elif file.is_file() and file.suffix != ".lock" and file.name not in ("lock", "sheet.png"):
            found[name] = file.read_bytes()
    return found


def test_the_graph_has_a_job_for_every_run_and_chapter(grid):
    plan, place = grid
    process = engine(place, "local", "-n", "--forceall", "-c1", "--quiet", "rules")
    ended(process, place)
    said = (place / "engine.log").read_text().rpartition("Job stats:")[2]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", said, flags=re.MULTILINE))
    runs, pages = str(len(plan["jobs"])), [page["name"] for page in plan["pages"]]
    wanted = {"fetch": "1", "prepare": "2", "adapt": runs, "measure": runs, "table": "1", "book": "1"}
    assert wanted.items() <= counts.items() and pages[-1] == "book"
    assert counts["chapter"] == str(len(pages) - 1)


def test_chapters_are_one_job_that_asks_for_one_processor_and_one_gpu(grid, tmp_path):
    plan, _ = grid
    (tmp_path / "plan.json").write_text(json.dumps(plan | {"device": "cuda"}))
    folder = Path("build", "receipts", "grid")
    (tmp_path / folder / "measured").mkdir(parents=True)
    for job in plan["jobs"]:
        (tmp_path / folder / "measured" / job["id"]).touch()
    chapters = [folder / "chapters" / page["name"] for page in plan["pages"] if page["name"] != "book"]
    no_queue = "echo {threads} {resources.gpu} >> asked; exit 1 #"
    options = ("--retries=0", "--cluster-generic-submit-cmd", no_queue)
    assert engine(tmp_path, "generic", *chapters, *options).wait(PATIENCE) == 1
    assert len(chapters) > 1 and (tmp_path / "asked").read_text() == "1 1\n"


def test_a_missing_plan_is_named_with_the_command(tmp_path):
    assert engine(tmp_path, "local", "-n").wait(PATIENCE) == 1
    assert "zsgan plan --profile NAME --json > plan.json" in (tmp_path / "engine.log").read_text()
