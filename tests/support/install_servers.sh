#!/usr/bin/env bash
# Installs Redis and PostgreSQL for the tests where apt and root permit. Where they do not, the
# tests that need a server are skipped and say so, or fail in CI.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
((${#missing[@]})) || exit 0

if ! command -v apt-get >/dev/null || [[ $(id -u) != 0 ]]; then
  echo "Not installed: ${missing[*]}; without apt and root, the tests that need them will say so."
  exit 0
fi

echo "Installing ${missing[*]}"
apt_get() { apt-get -qq -o DPkg::Lock::Timeout=300 "$@"; }
# Run level 1 keeps Debian from starting servers of its own; the tests start private ones.
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
{ apt_get update && apt_get install --no-install-recommends "${missing[@]}" >/dev/null; } ||
  echo "Could not install ${missing[*]}; the tests that need them will say so."
