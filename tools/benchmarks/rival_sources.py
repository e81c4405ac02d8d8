"""Where the rivals come from: found on the machine, or fetched into build/rivals by pip, mvn and apt-get.

Each function gives what is needed to run a rival, or raises Unreachable with the reason for skipping it.
"""
import glob
import os
import shutil
import subprocess
import sys

MOA_VERSION = "2024.07.0"


class Unreachable(Exception):
    pass


def _run(command, what, timeout=600, cwd=None):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unreachable(f"{what}: {error}") from None
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if "ERROR" in line] or lines or ["no message"]
        raise Unreachable(f"{what}: {errors[0].strip()[:200]}")
    return done.stdout


def python_package(folder, package, module, say, venv=""):
    """The interpreter of a venv below `folder` that can import `module`; packages share one unless it is named."""
    venv = os.path.join(folder, venv or "python")
    python = os.path.join(venv, "bin", "python")
    if not os.path.exists(python):
        say(f"making {venv}")
        _run([sys.executable, "-m", "venv", venv], "python3 -m venv (Debian: python3-venv)")
    if subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode:
        say(f"fetching {package} from PyPI")
        _run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", package],
             f"pip install {package}")
    return python


def _unpacked_java(folder, say):
    """Debian's run-time, unpacked instead of installed."""
    root = os.path.join(folder, "java")
    found = glob.glob(os.path.join(root, "usr/lib/jvm/java-*/bin/java"))
    if not found:
        if not shutil.which("apt-get") or not shutil.which("dpkg"):
            raise Unreachable("no java on this machine, and no apt-get to fetch one")
        os.makedirs(root, exist_ok=True)
        depends = _run(["apt-cache", "depends", "default-jre-headless"], "apt-cache depends default-jre-headless")
        packages = [line.split()[-1] for line in depends.splitlines() if "Depends: openjdk" in line]
        if not packages:
            raise Unreachable("no java on this machine, and apt-cache knows no default-jre-headless")
        say(f"fetching {packages[0]} from Debian")
        _run(["apt-get", "download", packages[0]], f"apt-get download {packages[0]}", cwd=root)
        for package in glob.glob(os.path.join(root, "*.deb")):
            _run(["dpkg", "-x", package, root], "dpkg -x")
        for path, folders, names in os.walk(os.path.join(root, "usr")):
            for name in folders + names:  # links into /etc, which is not where it was unpacked
                link = os.path.join(path, name)
                if os.path.islink(link) and os.readlink(link).startswith("/etc/"):
                    target = root + os.readlink(link)
                    os.remove(link)
                    os.symlink(os.path.relpath(target, path), link)
        found = glob.glob(os.path.join(root, "usr/lib/jvm/java-*/bin/java"))
    if not found:
        raise Unreachable("the unpacked Debian package holds no java")
    return found[0]


def moa(folder, say):
    """java, and the class path of MOA with all it needs."""
    jars = os.path.join(folder, "moa", "jars")
    if not glob.glob(os.path.join(jars, "moa-*.jar")):
        if not shutil.which("mvn"):
            raise Unreachable("no mvn to fetch MOA from Maven Central with (Debian: maven)")
        os.makedirs(os.path.dirname(jars), exist_ok=True)
        pom = os.path.join(folder, "moa", "pom.xml")
        with open(pom, "w") as file:
            file.write('<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
                       "<groupId>rivals</groupId><artifactId>moa</artifactId><version>1</version><dependencies>"
                       "<dependency><groupId>nz.ac.waikato.cms.moa</groupId><artifactId>moa</artifactId>"
                       f"<version>{MOA_VERSION}</version></dependency></dependencies></project>\n")
        say(f"fetching MOA {MOA_VERSION} from Maven Central")
        _run(["mvn", "--quiet", "--batch-mode", "--file", pom,
              "-Dmaven.repo.local=" + os.path.join(os.path.abspath(folder), "moa", "repository"),
              "dependency:copy-dependencies", "-DoutputDirectory=" + os.path.abspath(jars)], "mvn", timeout=900)
    paths = sorted(glob.glob(os.path.join(jars, "*.jar")))
    agent = [path for path in paths if os.path.basename(path).startswith("sizeofag")]
    if not agent:
        raise Unreachable(f"no sizeofag.jar in {jars}")
    java = shutil.which("java") or _unpacked_java(folder, say)
    return [java, "-XX:+UseSerialGC", "-Xmx3g", "-javaagent:" + agent[0], "-cp", ":".join(paths), "moa.DoTask"]


def orf():
    """The reference program of Online Random Forests, which nobody packages."""
    program = os.environ.get("ORF_PROGRAM", "")
    if not program:
        raise Unreachable("ORF_PROGRAM names no Online-Forest (the program of Saffari's reference code; no registry has it)")
    if not os.access(program, os.X_OK):
        raise Unreachable(f"ORF_PROGRAM={program} cannot be run")
    return os.path.abspath(program)
