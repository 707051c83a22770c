# Brings node_modules to what package-lock.json says, on any Node with npm. To be sourced.
set -eu
cd "$(dirname "$0")/.."
lock=node_modules/.pomona-lock
if ! cmp -s package-lock.json "$lock"; then
  echo "Installing the packages of package-lock.json ..."
  npm ci --no-audit --no-fund --loglevel=error
  cp package-lock.json "$lock"
fi
PATH=$PWD/node_modules/node/bin:$PWD/node_modules/.bin:$PATH
export PATH
