#!/bin/sh
# The first command: everything set up, then real jobs on a fleet of one machine.
. "$(dirname "$0")/set-up.sh"
npm run --silent build
exec node --disable-warning=ExperimentalWarning scripts/demo.ts "$@"
