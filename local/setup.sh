#!/usr/bin/env bash
# Sets up .venv and local/node_modules and builds portal/dist, with `portal` that alone, with `scan` .checkov, with
# `mutants` .mutants/venv; does nothing when no requirements, lock file or source of the portal changed. PYTHON names the
# interpreter; .venv remembers it.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  echo "$1" >&2
  exit 1
}

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {  # the one that PYTHON names, now or before; else 3.13, also where pyenv keeps it; else any 3.11 or newer
  local candidate chosen
  if [ -n "${PYTHON:-}" ]; then
    fits "$PYTHON" || fail "PYTHON=$PYTHON is not Python 3.11 or newer."
    echo "$PYTHON"
    return
  fi
  chosen=$(cat .venv/PYTHON 2>/dev/null || true)
  for candidate in "$chosen" python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python python3 python3.12 python3.11; do
    if fits "$candidate"; then
      echo "$candidate"
      return
    fi
  done
  fail "Python 3.11 or newer is needed (set PYTHON to name one)."
}

check_node() {  # first, so that nobody waits for Python's packages only to read this
  local version major minor
  version=$(node --version 2>/dev/null) || fail "Node 20.19 or newer is needed, and there is no node on the PATH."
  command -v npm >/dev/null || fail "npm is needed, which comes with Node, and there is none on the PATH."
  version=${version#v}
  IFS=. read -r major minor _ <<<"$version"
  case $major in  # what the portal's build needs
    20) [ "$minor" -ge 19 ] ;;
    22) [ "$minor" -ge 12 ] ;;
    *) [ "$major" -ge 23 ] ;;
  esac || fail "Node 20.19 or newer (of Node 22: 22.12 or newer) is needed, and node is $version."
}

ticker=
trap '[ -z "$ticker" ] || kill "$ticker" 2>/dev/null' EXIT

quietly() {  # runs a command with a line that says what, that it still runs, and how long it took; its output only if it fails
  local what=$1 log started=$SECONDS failed=
  shift
  log=$(mktemp)
  printf '%s ' "$what"
  # Ends with this script too if that is killed, and does not keep the lock. Nobody is told of its errors: bash itself
  # says "wait_for: No record of process" where the system has given a process an id again.
  (while sleep 2 >/dev/null && kill -0 $$; do printf '.'; done) 2>/dev/null 9<&- &
  ticker=$!
  "$@" >"$log" 2>&1 || failed=yes
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  if [ -n "$failed" ]; then
    echo " failed"
    cat "$log" >&2
  else
    echo " $((SECONDS - started)) s"
  fi
  rm -f "$log"
  [ -z "$failed" ]
}

alone() {  # waits for another setup in this folder; the lock is the system's, which takes it from whoever dies
  exec 9<local/setup.sh
  "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
  quietly "Another setup runs in this folder. Waiting for it to end" "$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX)'
}

is_installed() { [ "$(cat "$1/installed" 2>/dev/null)" = "$2" ]; }

sources_of_portal() { find portal \( -name node_modules -o -name dist \) -prune -o -type f -exec sha256sum {} + | sort; }

is_built() { [ -f portal/dist/index.html ] && [ "$(cat portal/node_modules/built 2>/dev/null)" = "$1" ]; }

build_portal() {
  if ! is_installed portal/node_modules "$portal_modules"; then
    quietly "Installing the portal's packages" npm ci --prefix portal --ignore-scripts --no-audit --no-fund
    echo "$portal_modules" >portal/node_modules/installed
  fi
  if ! is_built "$portal_sources"; then
    quietly "Building the portal" npm run build --prefix portal
    echo "$portal_sources" >portal/node_modules/built
  fi
}

python=$(find_python)
if [ "${1:-}" = scan ]; then
  wanted=$({ "$python" --version; pwd; cat infra/requirements-check.txt; } | sha256sum)
  is_installed .checkov "$wanted" && exit
  alone
  if ! is_installed .checkov "$wanted"; then
    quietly "Creating .checkov" "$python" -m venv --clear .checkov
    quietly "Installing checkov" .checkov/bin/pip install --quiet --disable-pip-version-check -r infra/requirements-check.txt
    # The version that checkov asks for does not know all of Bicep's functions.
    quietly "Installing its Bicep parser" .checkov/bin/pip install --quiet --disable-pip-version-check --no-deps pycep-parser==0.7.1
    echo "$wanted" >.checkov/installed
  fi
  exit
fi
if [ "${1:-}" = mutants ]; then
  wanted=$({ "$python" --version; pwd; cat requirements.txt requirements-dev.txt constraints.txt tests/mutants/requirements.txt; } | sha256sum)
  is_installed .mutants/venv "$wanted" && exit
  alone
  if ! is_installed .mutants/venv "$wanted"; then
    quietly "Creating .mutants/venv" "$python" -m venv --clear .mutants/venv
    quietly "Installing mutmut" .mutants/venv/bin/pip install --quiet --disable-pip-version-check -r tests/mutants/requirements.txt
    echo "$wanted" >.mutants/venv/installed
  fi
  exit
fi

portal_modules=$(sha256sum portal/package-lock.json)
portal_sources=$(sources_of_portal | sha256sum)
if [ "${1:-}" = portal ]; then
  is_installed portal/node_modules "$portal_modules" && is_built "$portal_sources" && exit
  check_node
  alone
  build_portal
  exit
fi

packages=$({ "$python" --version; pwd; cat requirements.txt requirements-dev.txt constraints.txt; } | sha256sum)
modules=$(sha256sum local/package-lock.json)
is_installed .venv "$packages" && is_installed local/node_modules "$modules" &&
  is_installed portal/node_modules "$portal_modules" && is_built "$portal_sources" && exit
check_node
alone

if ! is_installed .venv "$packages"; then
  quietly "Creating .venv with $("$python" --version)" "$python" -m venv --clear .venv
  [ -z "${PYTHON:-}" ] || "$python" -c 'import sys; print(sys.executable)' >.venv/PYTHON
  quietly "Installing Python packages, which takes a minute or two" \
    .venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
  echo "$packages" >.venv/installed
fi

if ! is_installed local/node_modules "$modules"; then
  quietly "Installing Azurite" npm ci --prefix local --ignore-scripts --no-audit --no-fund
  echo "$modules" >local/node_modules/installed
fi

build_portal
