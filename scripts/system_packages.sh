#!/usr/bin/env bash
# Checks for what must come from the system (Python, a C++ compiler, headers) and installs what is
# missing with apt; on other systems it says what to install by hand.
# usage: system_packages.sh [tests]    with "tests" also programs that the tests alone run
set -euo pipefail
python=${PYTHON:-python3}
for_what=${1:-}

missing_packages=()
missing_names=()
need() { # need PACKAGE "what it is": notes something to install
  missing_packages+=("$1")
  missing_names+=("$2")
}
stop() {
  echo "error: $*" >&2
  exit 1
}
has_header() { echo "#include <$1>" | "$compiler" -E -x c++ - >/dev/null 2>&1; }

check_python() {
  if ! command -v "$python" >/dev/null; then
    need python3 "Python 3.10 or later, with its venv module and headers"
    need python3-venv "the venv module of Python"
    need python3-dev "the C headers of Python"
    return
  fi
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    stop "sdrbee needs Python 3.10 or later but $python is $("$python" -V 2>&1);" \
      "name another one: make PYTHON=/path/to/python3.11 ..."
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    need python3-venv "the venv module of Python (ensurepip)"
  "$python" -c 'import pathlib, sys, sysconfig
sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
    need python3-dev "the C headers of Python (Python.h)"
}

check_compiler() {
  compiler=${CXX:-$(command -v g++ || command -v c++ || true)}
  if [ -z "$compiler" ]; then
    need g++ "a C++20 compiler (GCC 11 or later)"
    compiler=false
  fi
  has_header nlohmann/json.hpp || need nlohmann-json3-dev "nlohmann-json, JSON for C++ (headers)"
  has_header stb/stb_image.h || need libstb-dev "stb, image reading and writing (headers)"
  has_header utf8proc.h || need libutf8proc-dev "utf8proc, Unicode (library and headers)"
  has_header zlib.h || need zlib1g-dev "zlib (library and headers)"
  has_header openssl/evp.h || need libssl-dev "libcrypto of OpenSSL (library and headers)"
  has_header gtest/gtest.h || need libgtest-dev "GoogleTest (library and headers), for the tests"
}

check_test_programs() {
  command -v chromium || command -v chromium-browser || command -v google-chrome ||
    need chromium "Chromium, which the tests of the page run in"
  command -v node || need nodejs "Node.js, which OpenAI's client of the tests runs in"
  command -v npm || need npm "npm, which installs that client"
} >/dev/null

check_all() {
  missing_packages=() missing_names=()
  check_python
  check_compiler
  [ "$for_what" != tests ] || check_test_programs
}

install_with_apt() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || stop "as root, run: apt-get install ${missing_packages[*]}"
    sudo=(sudo)
  fi
  echo "== installing system packages: ${missing_packages[*]}"
  "${sudo[@]}" apt-get update -qq ||
    echo "warning: apt-get update failed; trying with the package lists as they are" >&2
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing_packages[@]}" >/dev/null
}

check_all
[ ${#missing_packages[@]} -gt 0 ] || exit 0
if command -v apt-get >/dev/null; then
  install_with_apt
  check_all
fi
[ ${#missing_packages[@]} -gt 0 ] || exit 0
{
  echo "error: please install by hand, for $python ($(command -v "$python" || echo missing)):"
  for i in "${!missing_packages[@]}"; do
    echo "  - ${missing_names[$i]}   [Debian, Ubuntu: ${missing_packages[$i]}]"
  done
} >&2
exit 1
