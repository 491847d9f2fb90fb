#!/usr/bin/env bash
# Sets up .venv and local/node_modules, with `scan` .checkov, with `mutants` .mutants/venv; does nothing when neither
# requirements nor lock file changed.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {  # 3.13 if there is one, also where pyenv keeps it; else any 3.11 or newer
  local candidate
  for candidate in ${PYTHON:-} python3.13 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.13*/bin/python python3 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11 or newer is needed (set PYTHON to name one)." >&2
  return 1
}

quietly() {  # runs a command with a line that says what and how long; its output only if it fails
  local what=$1 log started=$SECONDS
  shift
  log=$(mktemp)
  printf '%s ... ' "$what"
  if "$@" >"$log" 2>&1; then
    echo "$((SECONDS - started)) s"
  else
    echo "failed"
    cat "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

python=$(find_python)
if [ "${1:-}" = scan ]; then
  wanted=$({ "$python" --version; pwd; cat infra/requirements-check.txt; } | sha256sum)
  if [ "$(cat .checkov/installed 2>/dev/null)" != "$wanted" ]; then
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
  if [ "$(cat .mutants/venv/installed 2>/dev/null)" != "$wanted" ]; then
    quietly "Creating .mutants/venv" "$python" -m venv --clear .mutants/venv
    quietly "Installing mutmut" .mutants/venv/bin/pip install --quiet --disable-pip-version-check -r tests/mutants/requirements.txt
    echo "$wanted" >.mutants/venv/installed
  fi
  exit
fi

wanted=$({ "$python" --version; pwd; cat requirements.txt requirements-dev.txt constraints.txt; } | sha256sum)
if [ "$(cat .venv/installed 2>/dev/null)" != "$wanted" ]; then
  quietly "Creating .venv with $("$python" --version)" "$python" -m venv --clear .venv
  quietly "Installing Python packages" .venv/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
  echo "$wanted" >.venv/installed
fi

wanted=$(sha256sum local/package-lock.json)
if [ "$(cat local/node_modules/installed 2>/dev/null)" != "$wanted" ]; then
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "Node 20 or newer is needed." >&2; exit 1; }
  quietly "Installing Azurite" npm ci --prefix local --ignore-scripts --no-audit --no-fund
  echo "$wanted" >local/node_modules/installed
fi
