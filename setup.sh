#!/bin/sh
# Make .venv ready: the newest Python found, and what requirements.lock names.
#
#   ./setup.sh              does nothing when nothing changed
#   PYTHON=python3.12 ./setup.sh
#
# Everything it installs is checked against the hashes of the lock. A failure is
# one sentence; the whole story stands in the log it names.
set -eu
cd "$(dirname "$0")"
venv=.venv
stamp=$venv/.installed

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# Every Python on the PATH, and those that pyenv hides behind its shims.
candidates() {
  if [ -n "${PYTHON:-}" ]; then command -v "$PYTHON" || true; return; fi
  places=$PATH
  for place in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin; do places=$places:$place; done
  IFS=:
  for place in $places; do
    # A Python inside a virtual environment would vanish with it.
    [ ! -f "$place/../pyvenv.cfg" ] || continue
    for name in "$place"/python3 "$place"/python3.[0-9] "$place"/python3.[0-9][0-9]; do
      [ ! -x "$name" ] || echo "$name"
    done
  done
  unset IFS
}

# A shim may stand for a Python that is not there, so each one has to run.
newest_python() {
  candidates | while read -r name; do
    "$name" -IS -c '
import sys
if sys.version_info.releaselevel == "final":
    print("%03d%03d%03d" % sys.version_info[:3], sys.argv[1])' "$name" 2>/dev/null || true
  done | sort -k1,1nr -s | head -n 1
}

explain_pip() {
  if grep -q 'No space left on device' "$log"; then
    fail "there is no space left on the device"
  fi
  keep_log=yes
  if grep -qE 'Retrying|NewConnectionError|Name or service not known|Temporary failure|ProxyError' "$log"; then
    fail "no package index answers: see PIP_INDEX_URL and PIP_PROXY of pip ($log)"
  elif grep -q 'DO NOT MATCH THE HASHES' "$log"; then
    fail "the package index serves other files than requirements.lock names ($log)"
  elif grep -qE 'No matching distribution|Could not find a version' "$log"; then
    fail "the package index lacks a package for Python $version on this machine ($log): $(grep -o 'No matching distribution.*' "$log" | tail -n 1)"
  fi
  fail "pip failed ($log): $(grep -E '^ERROR' "$log" | tail -n 1)"
}

{ [ -d "$venv" ] || mkdir "$venv"; } 2>/dev/null && [ -w "$venv" ] ||
  fail "cannot write to $(pwd)/$venv: not yours, or no space left"
log=$(mktemp "${TMPDIR:-/tmp}/dibs-setup.XXXXXX") || fail "cannot write to ${TMPDIR:-/tmp}"
trap '[ -n "${keep_log:-}" ] || rm -f "$log"' EXIT
found=$(newest_python)
[ -n "$found" ] || fail "no ${PYTHON:-Python 3} here that runs: install Python 3.11 or newer"
python=${found#* }
version=$("$python" -IS -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
"$python" -IS -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  fail "Python $version is too old: install Python 3.11 or newer"

hash_of() {
  "$python" -IS -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
}
wanted="$python $version $(hash_of requirements.lock) $(pwd)"
project=$(hash_of pyproject.toml)
installed=$(cat "$stamp" 2>/dev/null || true)
"$venv/bin/python" -c '' 2>/dev/null || installed=
[ "$installed" != "$wanted
$project" ] || exit 0

if [ "${installed%%
*}" != "$wanted" ]; then
  "$python" -c '
import platform, sys
sys.exit(sys.platform not in ("linux", "darwin") or sys.platform == "linux" and platform.libc_ver()[0] != "glibc")' ||
    fail "this runs on Linux with glibc (and on macOS); here Python has none: use a Debian-based image, for example"
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "Python $version lacks ensurepip: install the package python${version%.*}-venv (Debian, Ubuntu) and run this again"
  say "installing into $venv with Python $version (once; about a minute)"
  rm -rf "$venv"
  "$python" -m venv "$venv" >"$log" 2>&1 || explain_pip
  "$venv/bin/python" -m pip install --disable-pip-version-check --no-input --retries 2 \
    --only-binary :all: --require-hashes -r requirements.lock >>"$log" 2>&1 || explain_pip
fi
"$venv/bin/python" -m pip install --disable-pip-version-check --no-input --no-index \
  --no-deps --no-build-isolation --editable . >>"$log" 2>&1 || explain_pip
printf '%s\n%s\n' "$wanted" "$project" >"$stamp" || fail "there is no space left on the device"
