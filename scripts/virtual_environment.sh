#!/usr/bin/env bash
# usage: virtual_environment.sh DIRECTORY
# Makes a virtual environment with torch and the build tools. Without an NVIDIA GPU the smaller
# CPU build of torch is taken where it is offered.
set -euo pipefail
directory=$1
python=${PYTHON:-python3}
cpu_index=https://download.pytorch.org/whl/cpu

echo "== making the virtual environment $directory"
[ -x "$directory/bin/python" ] || "$python" -m venv "$directory"
python=$directory/bin/python
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
requirements() { "$python" scripts/extra_requirements.py "$1"; }

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; }

# A quick look: pip itself would try for minutes when the index can't be reached.
cpu_index_answers() {
  "$python" - "$cpu_index/torch/" 2>/dev/null <<'PROBE'
import sys
import urllib.request

urllib.request.urlopen(sys.argv[1], timeout=8).close()
PROBE
}

install_torch() {
  local torch
  torch=$(requirements torch)
  "$python" -c 'import importlib.metadata as m, sys
sys.exit(m.version("torch").split("+")[0] != sys.argv[1].split("==")[1])' "$torch" 2>/dev/null &&
    return
  echo "== installing $torch (downloads a few hundred megabytes)"
  if [ "$(uname -s)" = Linux ] && ! has_gpu && cpu_index_answers; then
    pip install --quiet "$torch" --extra-index-url "$cpu_index" && return
    echo "warning: the CPU build could not be installed from $cpu_index; taking the usual one" >&2
  fi
  pip install --quiet "$torch"
}

pip install --quiet --upgrade "pip>=23.1"
install_torch
echo "== installing the build tools"
mapfile -t build_tools < <(requirements build)
pip install --quiet "${build_tools[@]}" "cmake>=3.25" ninja
