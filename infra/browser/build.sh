#!/bin/bash
# Builds STAC Browser for `stac-lake serve`: a bundle that asks no other host for anything.
# usage: build.sh [DIRECTORY], by default the folder where `stac-lake serve` looks for it.
# Needs Node.js 18 or newer, npm, 500 MB in the folder for temporary files, and two minutes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
target=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/stac-lake/browser}
version=4.0.1
# Dependencies as they were that day: the release names ranges, and has no lock file.
before=2026-11-20

if ! command -v npm > /dev/null; then
  echo "npm is missing: install Node.js 18 or newer" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "@radiantearth/stac-browser@$version" > /dev/null
tar xzf ./*stac-browser*.tgz
cd package

# ol-stac after 1.1.0 needs a newer OpenLayers than this release has; geotiff before 2.1.4 cannot
# decode zstd, which the lake's COGs are written with.
npm pkg set --silent dependencies.ol-stac=1.1.0 overrides.geotiff=2.1.4-beta.1 \
  dependencies.world-atlas=2.0.2
npm install --silent --no-audit --no-fund --ignore-scripts --before="$before"

# change FILE OLD NEW: replace a text that must be there.
change() {
  grep -qF "$2" "$1" || { echo "$1 has no '$2': this recipe is for release $version" >&2; exit 1; }
  OLD=$2 NEW=$3 node -e 'const fs = require("fs"), [file] = process.argv.slice(1);
    fs.writeFileSync(file, fs.readFileSync(file, "utf8").replace(process.env.OLD, () => process.env.NEW))' "$1"
}

# geotiff's worker decodes zstd wrongly and without an error, its module does not; a crop takes
# milliseconds.
change node_modules/ol-stac/source/GeoTIFF.js 'new Pool()' 'new Pool(0)'
# Settings come from `stac-lake serve` at run time.
change public/index.html '<!-- <script defer="defer" src="/config.js"></script> -->' \
  '<script defer="defer" src="./config.js"></script>'
# Debian's Chromium 156 crashes while it draws the markers of a list of two licences.
change public/index.html '</head>' '  <style>li { list-style: none !important }</style>
  </head>'
# The schema of a geometry is not needed to ask for one.
change src/components/SearchFilter.vue 'dereference(response.data)' \
  'dereference(response.data, {resolve: {external: false}})'
# A page of items would open a COG each, all bands of it: there, pictures do.
change src/components/Map.vue 'displayPreview: this.children' \
  'displayOverview: false, displayPreview: this.children'
cp "$here/basemaps.config.js" basemaps.config.js
cp node_modules/world-atlas/land-50m.json public/land.json

# Hundreds of warnings, none of which anybody here can mend.
if ! SB_historyMode=hash SB_pathPrefix=./ npx --no-install vue-cli-service build \
  --noSourceMaps --dest "$work/site" > "$work/log" 2>&1; then
  cat "$work/log" >&2
  exit 1
fi
mkdir -p "$(dirname "$target")"
rm -rf "$target"
mv "$work/site" "$target"
echo "STAC Browser $version is in $target"
