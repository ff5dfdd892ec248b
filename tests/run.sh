#!/bin/sh
# Run the tests, from a fresh clone with Python 3.10 or newer and Git: makes its own virtual environment
# (`.venv-tests`, kept for the next run), installs mlgit with its extras and the dev group, Node among it, then the npm
# packages that tests of CI are checked against (`.npm-tests`, kept as well), then runs pytest with coverage on two
# processes. Arguments go to pytest: `sh tests/run.sh tests/store -k pack`. PYTHON chooses the interpreter.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$here/.venv-tests
cd "$here"

find_python() {
    for python in "${PYTHON:-}" python3 python; do
        [ -n "$python" ] || continue
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    echo 'tests/run.sh: no Python 3.10 or newer found; set PYTHON=/path/to/python3' >&2
    exit 1
}

# strace injects faults (a kill at each system call), chromium opens pages. Tests that need one skip with that reason
# where it cannot be had.
install_tools() {
    missing=
    command -v strace >/dev/null || missing=strace
    command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null ||
        missing="$missing chromium"
    if [ -z "$missing" ] || ! command -v apt-get >/dev/null || [ "$(id -u)" -ne 0 ]; then
        return
    fi
    apt-get -qq update >/dev/null 2>&1 || true
    for tool in $missing; do
        DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends "$tool" >/dev/null 2>&1 ||
            echo "tests/run.sh: $tool could not be installed; tests that need it will skip" >&2
    done
}

# GitHub's own parser, evaluator and descriptions, exactly as the lock file says; none of their scripts is run.
install_packages() {
    if cmp -s tests/ci/package-lock.json .npm-tests/package-lock.json &&
        [ -f .npm-tests/node_modules/.package-lock.json ]; then # npm writes that one last
        return
    fi
    mkdir -p .npm-tests
    cp tests/ci/package.json tests/ci/package-lock.json .npm-tests
    for _ in 1 2 3; do
        (cd .npm-tests && npm ci --silent --ignore-scripts --no-audit --no-fund) && return
    done
    echo 'tests/run.sh: the npm packages could not be installed; tests that need them will skip' >&2
}

install() { "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; }

if ! "$venv/bin/python" -c '' 2>/dev/null; then
    python=$(find_python)
    "$python" -m venv --clear "$venv"
fi
install --upgrade 'pip>=25.1' # the first that knows --group
install --editable '.[all]' --group dev
install_tools

unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE
PATH=$venv/bin:$PATH:/usr/sbin:/sbin # mkfs and losetup, for tests that need a disk of their own
export PATH
install_packages
exec python -m pytest -n 2 --cov --cov-report=term:skip-covered "$@"
