"""Installs the built wheels where nothing of this checkout can be imported, and runs `smoke_installed.py` there.

`make test-wheels` calls it with the folder that they are in. One environment gets the core alone, as a plain
`pip install aiohttp-lionrock` gives it; the other one all three distributions.
"""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).resolve().parent
QUICKSTART = HERE.parents[1] / "examples" / "quickstart.py"
PACKAGES = ("aiohttp_lionrock", "aiohttp_lionrock_sqlite", "aiohttp_lionrock_mongodb")


def main(dist: Path) -> None:
    core, *backends = wheels = [checked_wheel(dist, package) for package in PACKAGES]
    with TemporaryDirectory() as folder:
        home = Path(folder).resolve()
        for file in (HERE / "smoke_installed.py", QUICKSTART):
            shutil.copy(file, home)
        smoke(home, "core", [core])
        smoke(home, "all", wheels)
    print(f"wheels good: {', '.join(wheel.name for wheel in (core, *backends))}")


def checked_wheel(dist: Path, package: str) -> Path:
    """The one wheel of a package: all in it that must be there, and nothing that is not its own."""
    [_] = dist.glob(f"{package}-*.tar.gz")
    [wheel] = dist.glob(f"{package}-*.whl")
    info = "-".join(wheel.name.split("-")[:2]) + ".dist-info"
    names = zipfile.ZipFile(wheel).namelist()
    strangers = [name for name in names if not name.startswith((f"{package}/", f"{info}/"))]
    assert not strangers, f"{wheel.name} holds {strangers}"
    for needed in (f"{package}/py.typed", f"{info}/licenses/LICENSE", f"{info}/entry_points.txt"):
        assert needed in names, f"{wheel.name} lacks {needed}"
    return wheel.resolve()


def smoke(home: Path, what: str, wheels: list[Path]) -> None:
    """Runs isolated (-I): no PYTHONPATH, and not even the current folder is on the path."""
    venv.create(home / what, with_pip=True)
    python = home / what / "bin" / "python"
    versions = [wheel.name.split("-")[1] for wheel in wheels]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SESSION_SECRET")}
    install = [python, "-I", "-m", "pip", "install", "--quiet", *wheels]
    check = [python, "-I", "-W", "error", home / "smoke_installed.py", *versions]
    for command in (install, check):
        subprocess.run(command, check=True, cwd=home, env=environ)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
