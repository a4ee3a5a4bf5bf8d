#!/bin/bash
# Installs what the second tier of tests asks, on Debian, as root: HARP and eopf, which judge the
# sandbox's files, and Ceph. `install.sh judges` leaves Ceph out. What is there already is kept.
set -euo pipefail
what=${1:-all}
root=$(cd "$(dirname "$0")/../.." && pwd)
ceph=${STAC_LAKE_CEPH:-/opt/stac-lake/ceph}
eopf=2.8.1
export DEBIAN_FRONTEND=noninteractive

if [[ $what != all && $what != judges ]]; then
  echo "usage: install.sh [judges]" >&2
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

need harpconvert harp

# eopf pins other versions of half our dependencies.
python=$root/.venv-eopf/bin/python
if ! "$python" -c "import importlib.metadata as m; assert m.version('eopf') == '$eopf'" 2> /dev/null
then
  rm -rf "$root/.venv-eopf"
  "$root/.venv/bin/python" -m venv "$root/.venv-eopf"
  "$python" -m pip install --quiet "eopf==$eopf"
fi

[[ $what == judges ]] && exit

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
