#!/bin/bash
# Installs what the second tier of tests asks, on Debian, as root: HARP and eopf, which judge the
# sandbox's files, Chromium with a build of STAC Browser, and Ceph. `install.sh judges` installs the
# first two only, `install.sh browser` the third. What is there already is kept.
set -euo pipefail
what=${1:-all}
root=$(cd "$(dirname "$0")/../.." && pwd)
ceph=${STAC_LAKE_CEPH:-/opt/stac-lake/ceph}
eopf=2.8.1
api_validator=0.6.8
export DEBIAN_FRONTEND=noninteractive

if [[ $what != all && $what != judges && $what != browser ]]; then
  echo "usage: install.sh [judges|browser]" >&2
  exit 2
fi

# need COMMAND PACKAGE: install a package of Debian, unless its command is there.
need() {
  command -v "$1" > /dev/null && return
  if [[ $(id -u) != 0 ]]; then
    echo "$2 is missing, and installing it needs root: apt-get install $2" >&2
    exit 1
  fi
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "$2" > /dev/null
}

if [[ $what != browser ]]; then
  need harpconvert harp

  # eopf pins other versions of half our dependencies.
  python=$root/.venv-eopf/bin/python
  if ! "$python" -c "import importlib.metadata as m; assert m.version('eopf') == '$eopf'" 2> /dev/null
  then
    rm -rf "$root/.venv-eopf"
    "$root/.venv/bin/python" -m venv "$root/.venv-eopf"
    "$python" -m pip install --quiet "eopf==$eopf"
  fi

  # stac-api-validator brings stac-check and versions of its own.
  python=$root/.venv-api-validator/bin/python
  if ! "$python" -c "import importlib.metadata as m; assert m.version('stac-api-validator') == '$api_validator'" 2> /dev/null
  then
    rm -rf "$root/.venv-api-validator"
    "$root/.venv/bin/python" -m venv "$root/.venv-api-validator"
    "$python" -m pip install --quiet "stac-api-validator==$api_validator"
  fi
fi

[[ $what == judges ]] && exit

need chromium chromium
need npm npm
"$root/.venv/bin/python" -m pip install --quiet playwright==1.65.2
recipe=$root/infra/browser
bundle=${XDG_CACHE_HOME:-$HOME/.cache}/stac-lake/browser/index.html
if [[ ! $bundle -nt $recipe/build.sh || ! $bundle -nt $recipe/basemaps.config.js ]]; then
  bash "$recipe/build.sh"
fi

[[ $what == browser ]] && exit

# Ceph 20 is in Debian's next release only: it gets a root of its own, with checked signatures.
# Bookworm's Ceph 16 refuses quoted ETags and ignores conditions on multipart uploads.
if [[ ! -x $ceph/usr/bin/radosgw ]]; then
  need mmdebstrap mmdebstrap
  # A mirror that this machine takes in spite of its age is taken in there, too.
  dated=true
  mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
    grep -m 1 '/debian/$')}
  eval "$(apt-config shell dated Acquire::Check-Valid-Until)"
  mkdir -p "$(dirname "$ceph")"
  rm -rf "$ceph.partial"
  mmdebstrap --quiet --variant=apt \
    --include=radosgw,ceph-mon,ceph-osd,ceph-common \
    --aptopt='APT::Install-Recommends "false"' \
    --aptopt="Acquire::Check-Valid-Until \"$dated\"" \
    forky "$ceph.partial" \
    "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror forky main"
  mv "$ceph.partial" "$ceph"
fi
chroot "$ceph" radosgw --version
